"""A faiss-gpu wheel with machine code of one architecture, small enough to travel: WHEEL OUT [90]."""

import struct
import sys
import zipfile

FROM_FOLDER = """
import ctypes as _c, os as _o
for _l in ("libcudart.so.12", "libcublas.so.12", "libcublasLt.so.12"):
    _c.CDLL(_o.path.join(_o.environ["FAISS_SHIM"], _l), mode=_c.RTLD_GLOBAL)
"""
MAGIC = struct.pack("<I", 0xBA55ED50)


def thin(data: bytearray, keep: int) -> dict:
    counts, at = {}, 0
    while (at := data.find(MAGIC, at)) >= 0:
        _, version, header, size = struct.unpack_from("<IHHQ", data, at)
        if version != 1 or header != 16 or not 0 < size < len(data) - at:
            at += 4
            continue
        entry, end = at + 16, at + 16 + size
        while entry + 64 <= end:
            kind, _, length, payload = struct.unpack_from("<HHIQ", data, entry)
            arch = struct.unpack_from("<I", data, entry + 28)[0]
            if kind not in (1, 2) or not 64 <= length <= 1024:
                break
            key = (("ptx", "elf")[kind - 1], arch)
            n, b = counts.get(key, (0, 0))
            counts[key] = (n + 1, b + payload)
            if not (kind == 2 and arch == keep):
                start = entry + length
                data[start : start + payload] = bytes(payload)
            entry += length + payload
        at = end
    return counts


def main() -> None:
    wheel, out, keep = sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 90
    with (
        zipfile.ZipFile(wheel) as src,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as dst,
    ):
        for item in src.infolist():
            data = src.read(item)
            if item.filename.endswith("libfaiss.so"):
                data = bytearray(data)
                print(thin(data, keep))
            if (
                item.filename == "faiss/__init__.py"
            ):  # CUDA 12's libraries come from a folder instead of packages
                text = data.decode()
                assert text.count("\n_preload_gpu_libs()\n") == 1
                data = text.replace("\n_preload_gpu_libs()\n", FROM_FOLDER).encode()
            dst.writestr(item, bytes(data), zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    main()
