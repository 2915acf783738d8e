# api.awk -- turns a public header, as it stands, into one that Doxygen understands.
#
#   awk -v names=FILE -f api.awk HEADER                FILE: the words that become links, one a line
#   awk -v names=FILE -v rooms=PAGE -f api.awk HEADER  HEADER's first comment begins the main page,
#                                                      PAGE ends it
#
# The headers are plain C for reading. Their style is read thus:
#   the first comment             NAME -- what it is, of the file
#   a comment, then declarations  of all of them, up to the next empty line or comment
#   a comment behind one          of that one, before what it shares with others
#   "---- X ----"                 a section, with the text up to the next declaration
#   lines set in                  formulas and code, left as they are
# `word` is code, a known name a link. Empty #defines, SQI_ names, and the rows of ops.def where
# ops.h includes them, are left out (api_ops.awk does the rows).

# ---- Text --------------------------------------------------------------------------------

function escape(text)
{
    gsub(/\\/, "\\\\", text)
    gsub(/&/, "\\&amp;", text)
    gsub(/</, "\\&lt;", text)
    gsub(/>/, "\\&gt;", text)
    gsub(/@/, "\\@", text)
    gsub(/#/, "\\#", text)
    gsub(/%/, "\\%", text)
    gsub(/"/, "\\&quot;", text)
    gsub(/::/, "\\::", text)
    return text
}

# Words that have a page become links, those between ` and ` code.
function linked(text,    out, word, parts, n, i)
{
    while (match(text, /[A-Za-z_][A-Za-z_0-9]*/)) {
        word = substr(text, RSTART, RLENGTH)
        out = out escape(substr(text, 1, RSTART - 1))
        out = out ((word in known) && word != self ? "@ref " word " \"" word "\"" : word)
        text = substr(text, RSTART + RLENGTH)
    }
    n = split(out escape(text), parts, "`")
    for (i = 1; i <= n; i++) out = (i == 1 ? "" : out (i % 2 ? "</code>" : i < n ? "<code>" : "`")) parts[i]
    return out
}

# Where the first sentence ends: at a dot before a blank, but not that of "et al. 2015".
function sentence_end(text,    from, rest)
{
    for (from = 0; match(rest = substr(text, from + 1), /[.] /); from += RSTART)
        if (substr(text, 1, from + RSTART) !~ /( al| e[.]g| i[.]e|[ (][A-Z])[.]$/) return from + RSTART
    return length(text)
}

# The lines of a comment as a body for Doxygen: the first sentence in brief, paragraphs, formulas.
function described(text,    lines, n, i, out, para, code, first)
{
    first = 1
    n = split(text "\n", lines, "\n")
    for (i = 1; i <= n; i++) {
        if (lines[i] ~ /^  / || (code && lines[i] == "" && lines[i + 1] ~ /^  /)) {
            if (!code) { out = out paragraph(para, first) "@verbatim\n"; if (para != "") first = 0 }
            para = ""
            code = 1
            out = out lines[i] "\n"
            continue
        }
        if (code) { out = out "@endverbatim\n"; code = 0 }
        if (lines[i] != "") { para = para (para == "" ? "" : " ") lines[i]; continue }
        out = out paragraph(para, first)
        if (para != "") first = 0
        para = ""
    }
    return out (code ? "@endverbatim\n" : "")
}
function paragraph(text, first,    end)
{
    if (text == "") return ""
    if (!first) return sorted_out(linked(text))
    end = sentence_end(text)
    return "@brief " linked(substr(text, 1, end)) "\n\n" sorted_out(linked(substr(text, end + 2)))
}
# What a function fails with and what it costs are paragraphs of their own.
function sorted_out(text)
{
    gsub(/ Fails[a-z ]*[:,(]/, "\n\n&", text)
    gsub(/ Cost:/, "\n\n&", text)
    gsub(/(Fails|Cost)/, "<b>&</b>", text)
    return text == "" ? "" : text "\n\n"
}

# ---- Comments ----------------------------------------------------------------------------

# A comment's text without its frame, from the current line on.
function comment_text(line,    text)
{
    sub(/^[ \t]*\/\*[ ]?/, "", line)
    while (line !~ /\*\//) {
        text = text line "\n"
        if ((getline line) <= 0) break
        sub(/^[ \t]*\*?[ ]?/, "", line)
    }
    sub(/[ \t]*\*\/.*$/, "", line)
    return text line
}

# The same for a comment behind code, joined to one line; leaves the code in `code`.
function behind(line,    at)
{
    at = index(line, "/*")
    code = substr(line, 1, at - 1)
    line = comment_text(substr(line, at))
    gsub(/[ \t\n]+/, " ", line)
    return line
}

function begin_section(text)
{
    close_section()
    sub(/^-+ /, "", text)
    section_name = text
    sub(/ *---.*$/, "", section_name)
    sub(/\n.*/, "", section_name)
    if (sub(/^[^\n]*\n/, "", text)) sub(/^\n+/, "", text); else text = ""
    section_text = text
    section_waits = 1
}
function close_section()
{
    if (in_section) print "/** @} */"
    in_section = 0
}
function open_section()
{
    if (!section_waits) return
    section_waits = 0
    in_section = 1
    print "/** @name " section_name "\n" plain(section_text) "@{ */"
}
# Without a brief, which a section cannot have.
function plain(text,    out)
{
    out = described(text)
    sub(/^@brief /, "", out)
    return out
}

# ---- Declarations ------------------------------------------------------------------------

function document(own)
{
    open_section()
    if (own == "" && shared == "") return
    printf "/** %s*/\n", described(own shared == own || own shared == shared ? own shared : own "\n\n" shared)
}

# Struct and enum: a member takes the comment behind it; without, or as the first, that of its group.
function body(line,    group, fresh, led, note, above, depth)
{
    for (fresh = 1; line !~ /^}/; getline line) {
        if (line ~ /^[ \t]*\/\*/) { group = comment_text(line); led = 0; continue }
        if (line ~ /^[ \t]*$/) { group = ""; fresh = 1; print ""; continue }
        note = ""
        code = line
        if (line ~ /\/\*/) note = behind(line)
        above = fresh && group != "" && !(led && note != "") ? "/** " described(group) "*/\n" : ""
        led = 1
        depth += gsub(/\(/, "(", code) - gsub(/\)/, ")", code)
        fresh = !depth && code ~ /[;,][ \t]*$/
        members(code, above, note == "" ? "" : " /**< @brief " linked(note) " */")
    }
    print line
}

# int64_t k1, k2;  one by one, each with all that is said of them.
function members(code, above, note,    names, n, i, type)
{
    if (code !~ /;[ \t]*$/ || code ~ /[(]/ || code !~ /, /) { print above code note; return }
    sub(/;[ \t]*$/, "", code)
    n = split(code, names, ", ")
    type = names[1]
    sub(/[^ ]*$/, "", type)
    sub(/^.* /, "", names[1])
    for (i = 1; i <= n; i++) print above type names[i] ";" note
}

function declaration(line,    own, text)
{
    for (;;) {
        if (line ~ /\/\*/) { own = behind(line); line = code }
        text = text line "\n"
        if (line ~ /^(typedef )?(struct|enum|union).*{[ \t]*$/) {
            document("")
            printf "%s", text
            getline line
            body(line)
            return
        }
        if (line ~ /;[ \t]*$/ && text !~ /\n{\n/ || line ~ /^}/ || line ~ /{.*}[ \t]*$/) break
        if ((getline line) <= 0) break
    }
    self = text ~ /^SQ_API|^static/ ? function_name(text) : ""
    document(own)
    self = ""
    printf "%s", text
}
function function_name(text)
{
    sub(/\(.*/, "", text)
    return match(text, /[A-Za-z_0-9]+$/) ? substr(text, RSTART) : ""
}

function define(line,    name, text)
{
    name = $2
    sub(/\(.*/, "", name)
    text = line
    while (line ~ /\\$/ && (getline line) > 0) text = text "\n" line
    if (NF < 3 && text !~ /\n/ || name ~ /^SQI_/ || name ~ /^SQ_(MAP|OP)/) return
    if (text ~ /\/\*/ && text !~ /\n/) { shared = behind(text); text = code }
    document("")
    print text
}

BEGIN {
    while ((getline word < names) > 0) known[word] = 1
}

FNR == 1 {
    text = comment_text($0)
    sub(/^[a-z_.]+ -- /, "", text)
    text = toupper(substr(text, 1, 1)) substr(text, 2)
    if (rooms == "") printf "/** @file\n%s*/\n", described(text)
    else {
        printf "/** @mainpage seqgrad\n%s", plain(text)
        while ((getline text < rooms) > 0) print text
        print "*/"
    }
    next
}
/^\/\* -----* /     { begin_section(comment_text($0)); shared = ""; apart = 0; next }
/^\/\* clang-format/ { next }
/^\/\*/             { shared = comment_text($0); attached = 0; next }
/^[ \t]*$/          { if (section_waits && !attached && shared != "") section_text = section_text "\n\n" shared
                      shared = ""; apart = 1; print; next }
section_waits && shared == "" && section_text != "" && !apart { shared = section_text; section_text = "" }
/^#define/          { attached = 1; define($0); next }
/^#include "ops.def"/ { next }
/^#/                { print; next }
/^SQ_BEGIN_DECLS/   { next }
/^SQ_END_DECLS/     { close_section(); next }
                    { attached = 1; declaration($0) }
END                 { close_section() }
