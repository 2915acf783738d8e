#!/bin/sh
# vanishing wall: the published steepest point, every number against arithmetic done here, what it refuses.
. "$(dirname "$0")/../support/tutorial.sh"

run_silent out wall --csv wall.csv --svg wall.svg
grep -q '^  steepest  |dE/d(w,b)| = 231\.97 at (4\.98, -2\.60), where E = 0\.3315$' out ||
    fail "the steepest point: $(grep steepest out)"
[ "$(wc -l <wall.csv)" = 22702 ] || fail "the grid has $(wc -l <wall.csv) rows"
[ "$(sed -n '1p;2p;$p' wall.csv | cut -d, -f1,2 | tr '\n' ' ')" = 'w,b 4.50,-3.20 7.30,-1.60 ' ] || fail "the grid's corners"

# E from its definition, its derivatives by central differences of fourth order, at every 44th point and
# at the steepest, where the wall bends so soon that they are 10^-9 wide and rounding leaves four digits.
awk -F, 'function sigmoid(x) { return 1 / (1 + exp(-x)) }
    function error(w, b,    x, t) {
        x = .5
        for (t = 0; t < 50; t++) x = w * sigmoid(x) + b
        return (sigmoid(x) - .7) ^ 2
    }
    function far(a, b, tol) { return a - b > tol || b - a > tol }
    function length2(a, b) { return sqrt(a * a + b * b) }
    NR == 1 { next }
    $1 == "4.98" && $2 == "-2.60" {
        e = 1e-9; tol = 1e-4 * length2($4, $5); peak++
        if (far(length2($4, $5), 231.97, .005)) { print "peak: " $0; exit bad = 1 }
    }
    !($1 == "4.98" && $2 == "-2.60") { e = 1e-5; tol = 1e-8 + 1e-5 * length2($4, $5) }
    NR % 44 && !($1 == "4.98" && $2 == "-2.60") { next }
    { if (far($3, error($1, $2), 1e-9)) { print "E: " $0; exit bad = 1 } }
    {
        by_w = (8 * (error($1 + e, $2) - error($1 - e, $2)) - error($1 + 2 * e, $2) + error($1 - 2 * e, $2)) / (12 * e)
        by_b = (8 * (error($1, $2 + e) - error($1, $2 - e)) - error($1, $2 + 2 * e) + error($1, $2 - 2 * e)) / (12 * e)
        if (far($4, by_w, tol) || far($5, by_b, tol)) { print $0, by_w, by_b; exit bad = 1 }
        n++
    }
    END { exit bad || n < 500 || peak != 1 }' wall.csv || fail "the surface"

# Without clipping the wall throws the descent to where sigmoid(x_50) = 0: E = 0.7^2. With clipping no
# update is longer than rate times limit.
grep -q '^after 400 updates: E = 0\.49000 without clipping, ' out || fail "the descent is not thrown off"
run_silent short wall --updates 1 --w 4.98 --b -2.6 --rate 1 --clip 0.001 --csv none --svg none
awk '/Clipped/ { on = 1 } on && $1 == 0 { w = $2; b = $3; if ($5 < 231.5 || $5 > 232.5) exit 1 }
    on && $1 == 1 { d = sqrt(($2 - w)^2 + ($3 - b)^2); exit !(d < .0012 && d > .0008) }' short ||
    fail "an update is not as long as its clipped gradient"
run_silent quiet wall --quiet --csv none --svg none
grep -q update: quiet && fail "--quiet"
[ "$(grep -c '|gradient|' out)" = 2 ] || fail "two walks"
narrow out
[ "$(wc -c <wall.svg)" -lt 60000 ] || fail "the picture takes $(wc -c <wall.svg) bytes"
grep -q '>steepest: 231.97<' wall.svg || fail "the picture does not mark the point"
well_formed wall.svg
# A descent that begins off the map is not drawn on it.
run_silent off wall --w 50 --b 3 --updates 2 --csv none --svg off.svg
grep -q "class='way" off.svg && fail "drawn off the map"

usage '--clip 0 is out of range: it must be from 1e-09 to 1000000000' wall --clip 0
usage '--rate takes a number, not "fast"' wall --rate fast
usage '--w 101 is out of range: it must be from -100 to 100' wall --w 101
usage 'there is no option --steps' wall --steps 3
refuses 1 'cannot write nowhere/x.svg: No such file or directory' wall --svg nowhere/x.svg
exit $failed
