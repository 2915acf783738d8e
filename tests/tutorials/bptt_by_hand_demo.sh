#!/bin/sh
# bptt_by_hand: its numbers against another way of computing them, its lines, its pictures.
#
# The oracle is forward mode in awk (Williams & Zipser 1989), which has no chain rule backwards:
#     dh_t/dW = (1 - h_t^2) (direct part + dh_(t-1)/dW W_hh),      dL/dW = sum_t (h_t - y_t) dh_t/dW
# A window of n steps is the same with dh_(t-n)/dW = 0.
. "$(dirname "$0")/../support/tutorial.sh"

# number FILE START: what stands by hand and on the tape behind a formula that begins so, or below it
number() { awk -v s="  $2" 'index($0, s) == 1 { if (length < 79) getline; print $(NF - 2), $(NF - 1); exit }' "$1"; }
# near FILE START VALUE: both are VALUE, to what is printed of them
near() {
    number "$1" "$2" | awk -v want="$3" -v what="$1: $2" '
        function close_to(v) { d = v - want; if (d < 0) d = -d; a = want < 0 ? -want : want; return d <= 6e-7 * a + 1e-14 }
        { n++; if (!close_to($1) || !close_to($2)) { print what " " $0 ", not " want; exit 1 } }
        END { if (!n) { print what " is not there"; exit 1 } }' || failed=1
}

# oracle H W_hh W_xh b h0 x y: "name value" for h, l, L, dL/dW and the truncated ones
oracle() {
    awk -v H="$1" -v whh="$2" -v wxh="$3" -v bias="$4" -v h0="$5" -v xs="$6" -v ys="$7" '
    function tanh(a) { return 1 - 2 / (exp(2 * a) + 1) }
    function ix(i) { return H == 1 ? "" : "[" i "]" }
    # forward mode of loss t from step `from` on; adds to g
    function forward(from, to, t, i, m, n, v, nv, d, nd, s) {
        split("", d)
        for (t = from; t <= to; t++) {
            for (n = 1; n <= H; n++) {
                s = 1 - h[t, n] ^ 2
                for (v in names) {
                    nd[n, v] = 0
                    for (m = 1; m <= H; m++) nd[n, v] += d[m, v] * W[(m - 1) * H + n]
                }
                for (m = 1; m <= H; m++) nd[n, "W_hh" (H == 1 ? "" : "[" m "," n "]")] += h[t - 1, m]
                nd[n, "W_xh" ix(n)] += x[t]
                nd[n, "b" ix(n)] += 1
                for (v in names) nd[n, v] *= s
            }
            for (v in nd) d[v] = nd[v]
        }
        for (v in names) for (n = 1; n <= H; n++) g[v] += (h[to, n] - y[(to - 1) * H + n]) * nd[n, v]
    }
    BEGIN {
        split(whh, W, ","); split(wxh, V, ","); split(bias, B, ","); split(h0, start, ",")
        T = split(xs, x, ","); split(ys, y, ",")
        for (n = 1; n <= H; n++) {
            h[0, n] = start[n]
            names["W_xh" ix(n)]; names["b" ix(n)]
            for (m = 1; m <= H; m++) names["W_hh" (H == 1 ? "" : "[" m "," n "]")]
        }
        for (t = 1; t <= T; t++) {
            l = 0
            for (n = 1; n <= H; n++) {
                a = x[t] * V[n] + B[n]
                for (m = 1; m <= H; m++) a += h[t - 1, m] * W[(m - 1) * H + n]
                h[t, n] = tanh(a)
                l += (h[t, n] - y[(t - 1) * H + n]) ^ 2 / 2
                printf "h_%d%s_= %.15g\n", t, ix(n), h[t, n]
            }
            L += l
            printf "l_%d_= %.15g\n", t, l
        }
        printf "L_= %.15g\n", L
        for (window = 1; window <= 3; window++) {
            split("", g)
            for (t = 1; t <= T; t++) forward(window == 3 || t < window ? 1 : t - window + 1, t)
            for (v in names)
                if (window == 3) printf "dL/d%s_=_sum %.15g\n", v, g[v]
                else if (window < T) printf "%d:dL/d%s,_truncated %.15g\n", window, v, g[v]
        }
    }'
}
# agrees FILE then the arguments of oracle
agrees() {
    file=$1
    shift
    oracle "$@" >want
    for window in 1 2; do # the part of the page that is about this window
        awk -v w="Window $window:" 'index($0, "Window") == 1 { on = index($0, w) == 1 } on' "$file" >"$file.$window"
    done
    while read -r name value; do
        from=$file
        case $name in [12]:*) from=$file.${name%%:*}; name=${name#*:} ;; esac
        near "$from" "$(echo "$name" | tr _ ' ' | sed 's/W hh/W_hh/; s/W xh/W_xh/; s/^h \([0-9]\)/h_\1/; s/^l \([0-9]\)/l_\1/')" "$value"
    done <want
    [ "$(wc -l <want)" -ge 6 ] || fail "the oracle said too little"
}

# ---- Numbers ---------------------------------------------------------------------------------

run_silent one --units 1
agrees one 1 .9 .7 .1 .5 1,-.5,.8 .5,-.2,.4
check "T = 3: every number has been compared" grep -q '^77 numbers compared; .* by hand and tape agree$' one
run_silent two --units 2
agrees two 2 .8,-.5,.4,.6 .7,-.3 .1,-.1 .5,-.25 1,-.5,.8 .5,.1,-.2,.3,.4,-.4
run_silent own --w 1.7 --wx -.4 --b 0 --h0 -.3 --x 0,2,-1,.5,.25,3 --y 1,1,1,-1,-1,-1
agrees own 1 1.7 -.4 0 -.3 0,2,-1,.5,.25,3 1,1,1,-1,-1,-1
run_silent own2 --w 0,2,-2,0 --wx 1,1 --x .1,.2 --y 0,0,1,-1
agrees own2 2 0,2,-2,0 1,1 .1,-.1 .5,-.25 .1,.2 0,0,1,-1
run_silent both --steps 6
check "both networks" test "$(grep -c 'by hand and tape agree' both)" = 2

# One step: dL/dW_hh = (h_1 - y_1)(1 - h_1^2) h_0, nothing to cut, no product.
run_silent single --units 1 --steps 1 --x 0 --w 1 --b 0 --y 0 --h0 .5
near single 'dL/dW_hh = sum' "$(awk "BEGIN { h = 1 - 2 / (exp(1) + 1); printf \"%.15g\", h * (1 - h * h) * .5 }")"
near single 'dL/dW_xh = sum' 0
check "one step: nothing to cut off" grep -q 'With one step there is nothing to cut off' single
check "one step: no product" grep -q 'With one step there are none' single

# Zero weights, zero inputs: all states are 0, the slope is 1, and dh_t/dh_k = W^(t-k) exactly.
run_silent powers --w .5 --x 0,0,0,0 --b 0 --h0 0 --y 1,1,1,1
near powers 'dh_4/dh_0' .0625
near powers 'dL/dh_1' -1.875
near powers 'dL/db = sum' -6.125

# ---- Lines -----------------------------------------------------------------------------------

for steps in 1 2 3 4 5 6; do
    run_silent lines --steps $steps --plain
    check "$steps steps: ASCII and at most 79 columns" awk '/[^ -~]/ || length > 79 { print; exit 1 }' lines
done
LC_ALL=C.UTF-8 "$program" --units 1 >unicode
check "signs where the locale has them" grep -q 'dL/dh_t = ∂l_t/∂h_t + dL/dh_(t+1) ∂h_(t+1)/∂h_t' unicode
LC_ALL=C.UTF-8 "$program" --units 1 --plain >plain
check "--plain has none" cmp plain one
check "the triangle" awk '/^ t = 3 / && !/cut/ { n++; bad += NF != 8 || $7 != "|" } END { exit bad || n != 3 }' one
check "a window of one step keeps the diagonal" grep -Eq '^ t = 3 +cut off +cut off +[0-9.]+ ' one
check "the terms add up" awk '/^   sum / && NF == 6 { d = $2 + $3 + $4 - $6; bad += d * d > 1e-6; n++ } END { exit bad || n != 5 }' one

# ---- Mistakes --------------------------------------------------------------------------------

for wrong in slope transpose immediate; do
    "$program" --units 2 --mistake $wrong >wrong 2>err
    status=$?
    [ $status = 1 ] && [ "$(cat err)" = 'bptt_by_hand: by hand and tape differ' ] ||
        fail "--mistake $wrong: status $status, $(cat err)"
    check "--mistake $wrong is marked" grep -q '! [0-9]e' wrong
    check "--mistake $wrong is counted" grep -Eq '^[0-9]+ of them do not agree$' wrong
    check "--mistake $wrong leaves the forward pass alone" awk '/^2\./ { exit } / ! / { exit 1 }' wrong
done
run_silent same --units 1 --mistake transpose

# ---- Pictures --------------------------------------------------------------------------------

run_silent pictures --units 2 --dot graph.dot --html page.html
check "the graph has its steps" test "$(grep -c 'label="step [0-2]"' graph.dot)" = 3
check "the page stands alone" awk '/src=|<link rel=.stylesheet|https?:/ && !/w3.org/ { exit 1 }' page.html
check "the page has the reach of every loss" grep -q '"panel":"reach"' page.html
if command -v dot >/dev/null; then check "Graphviz draws it" dot -Tsvg graph.dot -o graph.svg; fi

exit $failed
