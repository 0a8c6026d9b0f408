"""S7: the hand-shake by numbers, in two data blocks of a Siemens PLC that the gateway reads and writes."""
