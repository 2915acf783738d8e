# book.awk -- what a README claims about files, programs and flags, looked up one by one.
#
#   awk -v root=DIR -v programs=DIR -f book.awk README.md tutorials/README.md
#
#   fragments   a ```c block stands under <!-- from: FILE --> and is, but for its indentation, a run of
#               FILE's lines; or under <!-- file: NAME -->, and readme.sh compiles and runs it
#   links       [..](path): the file is there; (#heading): so is the heading
#   files       `a/b.c`: is in the README's folder, in the root, or in that of the chapter's program
#   commands    lines of blocks and `PROGRAM ...` in the text: the program exists, its --help knows every
#               flag and subcommand; presets are in CMakePresets.json, scripts and benchmarks in tests/
# `--flag` alone in the text belongs to the chapter's program, "## NAME: ...".

function complain(what) { printf "%s:%d: %s\n", FILENAME, FNR, what; bad = 1 }
function exists(path) { return system("test -e '" path "'") == 0 }

# ---- Fragments ---------------------------------------------------------------------------

function read_file(path,    n, line)
{
    if (path in lines_of) return lines_of[path]
    while ((getline line < path) > 0) text_of[path, ++n] = line
    close(path)
    return lines_of[path] = n + 0
}
function fragment_matches(path,    n, i, k, indent)
{
    n = read_file(path)
    for (i = 1; i + n_fragment - 1 <= n; i++) {
        k = length(text_of[path, i]) - length(fragment[1])
        indent = substr(text_of[path, i], 1, k)
        if (k < 0 || indent ~ /[^ ]/) continue
        for (k = 1; k <= n_fragment; k++)
            if (text_of[path, i + k - 1] != (fragment[k] == "" ? "" : indent fragment[k])) break
        if (k > n_fragment) return 1
    }
    return 0
}
function end_fragment()
{
    if (file != "") return
    if (from == "") complain("a fragment without <!-- from: FILE --> or <!-- file: NAME --> above it")
    else if (!exists(folder from)) complain("no file " from)
    else if (!fragment_matches(folder from)) complain("these lines do not stand in " from)
    fragments++
}

# ---- Programs ----------------------------------------------------------------------------

function help_of(program,    command, line)
{
    if (program in help) return help[program]
    command = "'" programs "/" program "' --help 2>&1"
    help[program] = " "
    while ((command | getline line) > 0) help[program] = help[program] line " "
    close(command)
    return help[program]
}
function is_program(name) { return name ~ /^[a-z][a-z_0-9]*$/ && exists(root "/tutorials/" name "/main.c") }

# The flags among words[from..n], and a subcommand in front of them.
function check_flags(program, words, from, n,    i, flag)
{
    if (!index(help_of(program), " --help ")) {
        if (!(program in silent)) complain(program " has no --help here: is it built?")
        silent[program] = 1
        return
    }
    if (from <= n && words[from] ~ /^[a-z]+$/ && index(help_of(program), program " ") &&
        !index(help_of(program), " " program " " words[from] " "))
        complain(program " has no command " words[from])
    for (i = from; i <= n; i++) {
        if (words[i] !~ /^--[a-z]/) continue
        flag = words[i]
        sub(/[=,].*/, "", flag)
        flags++
        if (flag != "--help" && !index(help_of(program), " " flag " "))
            complain(program " has no " flag)
    }
}
function check_preset(words, n,    i)
{
    for (i = 1; i < n; i++)
        if (words[i] == "--preset" && system("grep -q '\"name\": \"" words[i + 1] "\"' '" root "/CMakePresets.json'"))
            complain("no preset " words[i + 1])
}
# One command, without && and |. Text that is no command of ours is let pass.
function check_command(text,    words, n, name)
{
    sub(/^ +/, "", text)
    n = split(text, words, " +")
    name = words[1]
    if (name == "cmake" || name == "ctest") { commands++; check_preset(words, n); return }
    if (name ~ /^(build\/[a-z]+\/)?tutorials\/[a-z_0-9]+$/) {
        sub(/.*\//, "", name)
        if (!is_program(name)) { complain("no program " name); return }
    } else if (name ~ /^build\/bench\/tests\//) {
        sub(/.*\//, "", name)
        commands++
        if (!exists(root "/tests/bench/" name ".c")) complain("no benchmark " name)
        return
    } else if (name ~ /\.sh$/) {
        commands++
        if (!exists(root "/" name)) complain("no script " name)
        return
    } else if (!is_program(name) || n < 2) return
    commands++
    check_flags(name, words, 2, n)
}
function check_commands(text,    parts, n, i)
{
    n = split(text, parts, / && | \| /)
    for (i = 1; i <= n; i++) check_command(parts[i])
}

# ---- Text --------------------------------------------------------------------------------

function check_file(path,    place)
{
    place = root "/tutorials/" chapter "/"
    files++
    if (!exists(folder path) && !exists(root "/" path) && (chapter == "" || !exists(place path)) &&
        !exists(root "/tutorials/common/" path))
        complain("no file " path)
}
function check_span(span,    words, n)
{
    if (span ~ /^[A-Za-z_0-9\/.]+\.(c|h|def|md|sh|py|txt)$/) { check_file(span); return }
    n = split(span, words, " +")
    if (is_program(words[1]) || span ~ /^(build|tutorials)\// || words[1] ~ /^c(make|test)$/) check_commands(span)
    else if (chapter != "" && (" " span) ~ / --[a-z]/) check_flags(chapter, words, 1, n)
}
function check_text(text,    parts, n, i, path)
{
    n = split(text, parts, "`")
    for (i = 2; i <= n; i += 2) check_span(parts[i])
    while (match(text, /\]\([^)]*\)/)) {
        path = substr(text, RSTART + 2, RLENGTH - 3)
        text = substr(text, RSTART + RLENGTH)
        links++
        if (path ~ /^https?:/) continue
        if (path ~ /^#/) { wanted[FILENAME ":" FNR] = FILENAME path; listed[FILENAME path] = 1 }
        else { sub(/#.*/, "", path); if (!exists(folder path)) complain("no file " path) }
    }
}
# "## vanishing: two pictures" is #vanishing-two-pictures
function anchor(heading)
{
    sub(/^#+ /, "", heading)
    heading = tolower(heading)
    gsub(/[^a-z0-9_ -]/, "", heading)
    gsub(/ /, "-", heading)
    return "#" heading
}

FNR == 1 {
    folder = FILENAME
    if (!sub(/[^\/]*$/, "", folder)) folder = "./"
    chapter = file = from = ""
}
/^```/ {
    if (fence != "") {
        if (fence == "c") end_fragment()
        fence = file = from = ""
    } else {
        fence = substr($0, 4) " "
        sub(/ .*/, "", fence)
        if (fence == "") fence = "text"
        n_fragment = 0
    }
    next
}
fence == "c"         { fragment[++n_fragment] = $0; next }
fence == "sh"        { check_commands($0); next }
fence != ""          { next }
/^<!-- file: /       { file = $3; next }
/^<!-- from: /       { from = $3; next }
/^<!-- prints: /     { line = $0; gsub(/^<!-- prints: | -->$/, "", line); check_commands(line); next }
/^    /              { if (/sq_[a-z_]+\(.*;/) complain("code belongs into a checked fragment"); check_commands($0); next }
/^#/                 { there[FILENAME anchor($0)] = 1
                       chapter = ""
                       if (/^## [a-z_0-9]+:/) {
                           chapter = $2
                           sub(/:.*/, "", chapter)
                           if (!is_program(chapter)) complain("no program " chapter)
                           chapters[chapter] = FILENAME anchor($0)
                       } }
                     { check_text($0) }
END {
    for (at in wanted) if (!(wanted[at] in there)) { print at ": no heading " wanted[at]; bad = 1 }
    command = "cd '" root "/tutorials' && ls -d */main.c"
    while ((command | getline name) > 0) {
        sub(/\/.*/, "", name)
        if (!(name in chapters)) { print "the book has no chapter " name; bad = 1 }
        else if (!(chapters[name] in listed)) { print "the book's table has no line for " name; bad = 1 }
    }
    printf "%d fragments, %d links, %d files, %d commands, %d flags\n", fragments, links, files, commands, flags
    exit bad || !fragments || !links || !files || !commands || !flags
}
