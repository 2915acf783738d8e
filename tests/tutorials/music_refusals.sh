#!/bin/sh
# What music refuses: broken note lists with line and column, command lines, files; and that nothing is
# printed or written before.
. "$(dirname "$0")/../support/tutorial.sh"
outputs='music.svg music.mid music.safetensors'

broken() { # SENTENCE TEXT: of the file b.json
    printf "$2" >b.json
    refuses 1 "b.json$1" train --data b.json
}

ok='"valid":[[[60],[61]]],"test":[[[60],[61]]]'
broken ' is empty' ''
broken ', line 1, column 1: the begin of an object, {, is expected, but here is [' '[]'
broken ', line 1, column 1: the begin of an object, {, is expected, but here is byte 239' '\357\273\277{}'
broken ' has no list called "train"' '{}'
broken ' has no list called "train"' "{$ok}"
broken ' has no song in the list called "train"' "{\"train\":[],$ok}"
broken ', line 2, column 2: a name is expected: "train", "valid" or "test"' '{\n "tune":[]}'
broken ', line 1, column 2: the begin of a name, ", is expected, but here is t' '{train:[]}'
broken ', line 1, column 10: a colon, :, is expected, but here is [' '{"train" []}'
broken ', line 1, column 10: the begin of a list of songs, [, is expected, but here is 6' '{"train":60}'
broken ', line 1, column 11: the begin of a song, [, is expected, but here is 6' '{"train":[60]}'
broken ', line 1, column 12: the begin of a frame, [, is expected, but here is 6' '{"train":[[60,62]]}'
broken ', line 1, column 13: a note, a whole number, is expected, but here is "' '{"train":[[["C"]]]}'
broken ', line 1, column 13: a note is a whole number, written as digits alone' '{"train":[[[60.5]]]}'
broken ', line 1, column 13: a note is a whole number, written as digits alone' '{"train":[[[6e1]]]}'
broken ', line 1, column 13: a number does not begin with 0' '{"train":[[[060]]]}'
broken ', line 1, column 13: 20 is no key of a piano: notes are MIDI numbers from 21 to 108, or -1' '{"train":[[[20]]]}'
broken ', line 3, column 1: 109 is no key of a piano: notes are MIDI numbers from 21 to 108, or -1' '{"train":[[[60,\n62,\n109]]]}'
broken ', line 1, column 13: -60 is no key of a piano: notes are MIDI numbers from 21 to 108, or -1' '{"train":[[[-60]]]}'
broken ', line 1, column 13: 99999999999999999999 is no key of a piano: notes are MIDI numbers from 21 to 108, or -1' '{"train":[[[99999999999999999999]]]}'
broken ', line 1, column 13: a note, a whole number, is expected, but here is -' '{"train":[[[-]]]}'
broken ', line 1, column 16: a comma or the end of the frame, ], is expected, but here is 6' '{"train":[[[60 62]]]}'
broken ', line 1, column 16: nothing follows the comma' '{"train":[[[60,]]]}'
broken ', line 1, column 15: a comma or the end of the frame, ], is expected, but the file ends' '{"train":[[[60'
broken ', line 1, column 16: a comma or the end of the song, ], is expected, but the file ends' '{"train":[[[60]'
broken ', line 1, column 10: the begin of a list of songs, [, is expected, but the file ends' '{"train":'
broken ', line 1, column 13: a note, a whole number, is expected, but here is byte 0' '{"train":[[[\000]]]}'
broken ', line 1, column 11: a song of one frame: there is nothing to foretell' '{"train":[[[60]]]}'
broken ', line 1, column 22: a song of no frame: there is nothing to foretell' '{"train":[[[60],[]], []]}'
broken ', line 1, column 24: there are two lists called "train"' '{"train":[[[60],[60]]],"train":[]}'
broken ', line 1, column 67: nothing may follow the object, but here is ]' "{\"train\":[[[60],[60]]],$ok}]"

usage 'say what to do: train, sample or chorales'
usage '"play" is none of train, sample and chorales' play
usage 'there is no option --midi' train --midi x
usage '"a.json" is not an option' train a.json
usage '--cell is lstm or gru, not "rnn"' train --cell rnn
usage '--epochs takes a whole number, not "1.5"' train --epochs 1.5
usage '--hidden 0 is out of range: it must be from 1 to 4096' train --hidden 0
usage '--dropout 1 is out of range: it must be from 0 to 0.95' train --dropout 1
usage '--data takes a value: FILE' train --data
usage '--temperature 0 is out of range: it must be from 0.01 to 100' sample --temperature 0
usage '--song 0 is out of range: it must be from 1 to 1000000000' sample --song 0
usage 'two outputs go to the same file, x' sample --svg x --midi x
usage '--quiet takes no value' sample --quiet=1
refuses 1 'cannot read no.json: No such file or directory' train --data no.json
refuses 1 'cannot write nowhere/x: No such file or directory' train --save nowhere/x
mkdir folder
refuses 1 'cannot read folder: Is a directory' train --data folder
refuses 1 'cannot write folder: it is a directory' sample --midi folder
refuses 1 'cannot write folder: it is a directory' chorales --out folder

printf '{"train":[[[60],[60]]],%s}' "$ok" >tiny.json
run out train --data tiny.json --epochs 1 --hidden 2 --quiet --save net.st
refuses 1 'there is no song 2 in test, which has 1' sample --model net.st --data tiny.json --song 2
breaks out '^music: "tiny.json": ' sample --model tiny.json
breaks out 'no.st.*No such file' sample --model no.st
full_file sample --model net.st --data tiny.json --midi /dev/full --svg none
tells_of data cell hidden dropout epochs batch rate clip seed save csv quiet model song prime length temperature speed svg midi out train valid test
exit $failed
