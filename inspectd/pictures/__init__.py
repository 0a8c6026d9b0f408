"""Picture files and folders of them: what they mean to banks, cameras and evidence alike."""
