#!/usr/bin/env bash
# tutorials/char_lm and the same model in PyTorch, alternately in one run: characters per second while training.
#
#   char_lm.sh CHAR_LM TEXT [--embed 64,0] [--hidden N] [--batch N] [--k1 N] [--threads N] [--rounds N] [--updates N] [--secs S]
#
# CHAR_LM is the built tutorial, TEXT any text of some hundred kilobytes; --embed 0 is one-hot. Needs python3-torch and
# libopenblas0-pthread (see run.sh). Both are means over their updates; the ratio is the median over the rounds of ours / PyTorch's taken back to back.
set -u
here=$(cd "$(dirname "$0")" && pwd)
ours=${1:?path of char_lm}; text=${2:?path of a text}; shift 2
embeds=64,0 hidden=128 batch=32 k1=64 threads=1 rounds=5 updates=150 secs=4
while [ $# -gt 0 ]; do
  case $1 in
    --embed) embeds=$2;; --hidden) hidden=$2;; --batch) batch=$2;; --k1) k1=$2;; --threads) threads=$2;;
    --rounds) rounds=$2;; --updates) updates=$2;; --secs) secs=$2;; *) echo "unknown option $1" >&2; exit 2;;
  esac; shift 2
done
if ! ldconfig -p | grep -q libopenblas; then
  echo "no OpenBLAS: PyTorch would run on the reference BLAS, ten times slower (libopenblas0-pthread)" >&2; exit 2
fi
pin=""; [ "$threads" = 1 ] && pin="taskset -c 0"
export OMP_NUM_THREADS=$threads OPENBLAS_NUM_THREADS=$threads
python=$(command -v /usr/bin/python3 || command -v python3)
kernels=""
if grep -q avx512f /proc/cpuinfo 2>/dev/null; then kernels="env OPENBLAS_CORETYPE=SKYLAKEX ATEN_CPU_CAPABILITY=avx512"; fi
median() { sort -g | awk '{v[NR]=$1} END{if(NR) print v[int((NR+1)/2)]; else print "nan"}'; }

printf '%-6s %12s %12s %8s\n' embed ours_chars/s torch_chars/s ratio
for embed in ${embeds//,/ }; do
  ratios=""; a=nan b=nan
  for _ in $(seq "$rounds"); do
    a=$($pin "$ours" train "$text" --embed "$embed" --hidden "$hidden" --batch "$batch" --k1 "$k1" --threads "$threads" \
          --updates "$updates" --validate "$updates" --save none 2>/dev/null | awk '/characters\/s/{print $1}')
    b=$($kernels $pin "$python" "$here/bench_torch_charlm.py" --embed "$embed" --hidden "$hidden" --batch "$batch" --k1 "$k1" \
          --threads "$threads" --secs "$secs" "$text" 2>/dev/null | tail -1)
    ratios="$ratios $(awk -v a="$a" -v b="$b" 'BEGIN{if(a>0&&b>0)printf "%.4f",a/b}')"
  done
  printf '%-6s %12s %12s %8s\n' "$embed" "$a" "$b" "$(printf '%s\n' $ratios | median)"
done
