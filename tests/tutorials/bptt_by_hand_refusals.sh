#!/bin/sh
# What bptt_by_hand refuses: the sentence, the exit status, and that nothing was written.
. "$(dirname "$0")/../support/tutorial.sh"
outputs=new

usage 'there is no option --step' --step 3
usage '"3" is not an option' 3
usage '--steps takes a value: N' --steps
usage '--steps takes a whole number, not "3x"' --steps 3x
usage '--steps 0 is out of range: it must be from 1 to 6' --steps 0
usage '--steps 7 is out of range: it must be from 1 to 6' --steps=7
usage '--steps 99999999999999999999 is out of range: it must be from 1 to 6' --steps 99999999999999999999
usage '--units 3 is out of range: it must be from 1 to 2' --units 3
usage '--w takes LIST, not an empty string' --w ''
usage '--w takes numbers with commas between them, not "a"' --w a
usage '--w takes numbers with commas between them, not "1,"' --w 1,
usage '--w takes numbers with commas between them, not "1 2"' --w '1 2'
usage '--w takes numbers with commas between them, not "nan"' --w nan
usage '--x: 1e+06 is out of range: it must be from -10 to 10' --x 1e6
usage '--w takes at most 12 numbers' --w 1,1,1,1,1,1,1,1,1,1,1,1,1
usage '--w has 2 numbers; 2 units and 3 steps need 4' --w 1,2
usage '--w has 4 numbers; 1 unit and 3 steps need 1' --w 1,2,3,4 --units 1
usage '--b has 1 number; 2 units and 3 steps need 2' --w 1,2,3,4 --b 1
usage '--x has 2 numbers; 1 unit and 3 steps need 3' --x 1,2 --steps 3
usage '--x takes at most 6 numbers, one a step' --x 1,2,3,4,5,6,7
usage '--y has 3 numbers; 2 units and 3 steps need 6' --y 1,2,3 --units 2 --steps 3
usage '--mistake takes none, slope, transpose or immediate, not "sign"' --mistake sign
usage '--plain takes no value' --plain=yes
usage '--dot and --html name the same file, new' --dot new --html new

refuses 1 'cannot write nowhere/new: No such file or directory' --dot nowhere/new
refuses 1 'cannot write .: it is a directory' --html .
refuses 1 'cannot write .: it is a directory' --dot new --html .
echo kept >old
refuses 1 'cannot write nowhere/x: No such file or directory' --dot old --html nowhere/x
[ "$(cat old)" = kept ] || fail "an old output was touched"

full_file --units 1 --dot /dev/full
full_file --units 1 --html /dev/full
full_stdout

tells_of units steps w wx b h0 x y mistake dot html plain help
awk 'length > 90 || /[^ -~]/ { exit 1 }' out || fail "--help has long lines"

exit $failed
