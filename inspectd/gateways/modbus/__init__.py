"""Modbus TCP: the hand-shake's registers, served to one PLC and to others that only read."""
