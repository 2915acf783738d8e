#!/bin/sh
# first_gradient: its numbers against the closed forms, worked out here; what it refuses.
. "$(dirname "$0")/../support/tutorial.sh"

# X W T: what is printed, from the formulas, dh_T/dw by the recurrence forward in time:
#     d_t = (1 - h_t^2) (h_(t-1) + w d_(t-1)),  d_0 = 0
expected() {
    awk -v x="$1" -v w="$2" -v T="$3" '
    function tanh(v) { return 1 - 2 / (exp(2 * v) + 1) }
    BEGIN {
        y = tanh(x)
        printf "y = %.6f, dy/dx = %.6f\n\n", x * y, y + x * (1 - y * y)
        h[0] = x
        for (t = 1; t <= T; t++) { h[t] = tanh(w * h[t - 1]); d = (1 - h[t]^2) * (h[t - 1] + w * d) }
        printf " t   h_t        dh_%d/dh_t\n", T
        for (t = 0; t <= T; t++) {
            g = 1
            for (s = t + 1; s <= T; s++) g *= w * (1 - h[s]^2)
            printf "%2d   %9.6f  %9.6f\n", t, h[t], g
        }
        printf "dh_%d/dw = %.6f\n", T, d
    }'
}
same() {
    expected "$1" "$2" "$3" >expected
    run printed --x "$1" --w "$2" --steps "$3"
    diff expected printed || fail "$*: other numbers"
}
same 0.5 1.5 3
same -0.7 2 1
same 0.3 0.9 50
expected 0.5 1.5 3 >expected
"$program" | diff expected - || fail "without options"

for wrong in "--steps 0" "--steps 51" "--x far" "--y 1" "more"; do
    "$program" $wrong >out 2>err && fail "$wrong was accepted"
    [ "$(wc -l <err)" = 1 ] || fail "$wrong: $(cat err)"
done
exit $failed
