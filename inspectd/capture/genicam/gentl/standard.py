"""Numbers of the GenTL standard (EMVA GenICam GenTL 1.6) that are used here, by the standard's names."""

from __future__ import annotations

from enum import IntEnum


class Gc(IntEnum):
    """What a function answers."""

    SUCCESS = 0
    ERROR = -1001
    NOT_INITIALIZED = -1002
    NOT_IMPLEMENTED = -1003
    RESOURCE_IN_USE = -1004
    ACCESS_DENIED = -1005
    INVALID_HANDLE = -1006
    INVALID_ID = -1007
    NO_DATA = -1008
    INVALID_PARAMETER = -1009
    IO = -1010
    TIMEOUT = -1011
    ABORT = -1012
    INVALID_BUFFER = -1013
    NOT_AVAILABLE = -1014
    INVALID_ADDRESS = -1015
    BUFFER_TOO_SMALL = -1016
    INVALID_INDEX = -1017
    PARSING_CHUNK_DATA = -1018
    INVALID_VALUE = -1019
    RESOURCE_EXHAUSTED = -1020
    OUT_OF_MEMORY = -1021
    BUSY = -1022
    AMBIGUOUS = -1023


class DataType(IntEnum):
    """How an answer is written."""

    STRING = 1
    INT16 = 3
    UINT16 = 4
    INT32 = 5
    UINT32 = 6
    INT64 = 7
    UINT64 = 8
    FLOAT64 = 9
    PTR = 10
    BOOL8 = 11
    SIZET = 12
    PTRDIFF = 14


class SystemInfo(IntEnum):
    """TL_INFO: of a producer."""

    VENDOR = 1
    MODEL = 2
    VERSION = 3


class DeviceInfo(IntEnum):
    """DEVICE_INFO: of a camera."""

    VENDOR = 1
    MODEL = 2
    TLTYPE = 3
    ACCESS_STATUS = 5
    USER_DEFINED_NAME = 6
    SERIAL_NUMBER = 7
    TIMESTAMP_FREQUENCY = 9


class Access(IntEnum):
    """DEVICE_ACCESS: how a camera is opened."""

    CONTROL = 3
    EXCLUSIVE = 4


class AccessStatus(IntEnum):
    """DEVICE_ACCESS_STATUS: who has it open."""

    READWRITE = 1
    READONLY = 2
    NOACCESS = 3
    BUSY = 4
    OPEN_READWRITE = 5
    OPEN_READONLY = 6


class PortInfo(IntEnum):
    """PORT_INFO: of a module with registers."""

    PORTNAME = 12


class UrlInfo(IntEnum):
    """URL_INFO: of a description."""

    URL = 0


class EventType(IntEnum):
    """EVENT: what a module reports."""

    ERROR = 0
    NEW_BUFFER = 1


class EventInfo(IntEnum):
    """EVENT_INFO: of the reports of one kind."""

    SIZE_MAX = 3


class EventData(IntEnum):
    """EVENT_DATA: of one report."""

    VALUE = 1


class StreamInfo(IntEnum):
    """STREAM_INFO: of a stream."""

    PAYLOAD_SIZE = 7
    DEFINES_PAYLOADSIZE = 9
    BUF_ANNOUNCE_MIN = 12
    BUF_ALIGNMENT = 13


class BufferInfo(IntEnum):
    """BUFFER_INFO: of a frame."""

    TIMESTAMP = 3
    NEW_DATA = 4
    IS_INCOMPLETE = 7
    TLTYPE = 8
    SIZE_FILLED = 9
    WIDTH = 10
    HEIGHT = 11
    XPADDING = 14
    FRAMEID = 16
    IMAGEPRESENT = 17
    IMAGEOFFSET = 18
    PAYLOADTYPE = 19
    PIXELFORMAT = 20
    PIXELFORMAT_NAMESPACE = 21
    DELIVERED_IMAGEHEIGHT = 22
    PIXEL_ENDIANNESS = 26
    DATA_SIZE = 27
    TIMESTAMP_NS = 28
    DATA_LARGER_THAN_BUFFER = 29


class PayloadType(IntEnum):
    """PAYLOAD_TYPE: what a frame holds."""

    UNKNOWN = 0
    IMAGE = 1
    CHUNK_DATA = 4


class PixelNamespace(IntEnum):
    """PIXELFORMAT_NAMESPACE: whose number a pixel format has; these two agree in all that is read here."""

    UNKNOWN = 0
    GEV = 1
    PFNC_32BIT = 4


PIXELS_BIG_ENDIAN = 2
"""PIXELENDIANNESS_BIG."""
START_DEFAULT = 0
"""ACQ_START_FLAGS_DEFAULT."""
STOP_KILL = 1
"""ACQ_STOP_FLAGS_KILL."""
DISCARD_ALL = 4
"""ACQ_QUEUE_ALL_DISCARD."""
ENDLESS = 0xFFFF_FFFF_FFFF_FFFF
"""GENTL_INFINITE: as many frames as come."""
