"""Picture files and folders, read the same way by banks, cameras and evidence."""
