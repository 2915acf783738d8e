# api_ops.awk -- ops.def for Doxygen: every row becomes the prototype that ops.h makes of it.
#
#   awk -v page=1 -f api_ops.awk ops.def    a page: all operations in one table
#   awk           -f api_ops.awk ops.def    the declarations, in the style of a header, for api.awk
#
# What a row reads as is its first sentence; then come the derivatives of elementwise rows, and the
# comment above the rows.

# Splits "a, (b, c), "d, e"" at its outer commas into part[1..]; returns their number.
function split_row(text,    i, c, depth, quoted, n)
{
    n = 1
    part[1] = ""
    for (i = 1; i <= length(text); i++) {
        c = substr(text, i, 1)
        if (c == "\"") quoted = !quoted
        else if (!quoted && c ~ /[({]/) depth++
        else if (!quoted && c ~ /[)}]/) depth--
        if (c == "," && !quoted && !depth) part[++n] = ""
        else part[n] = part[n] c
    }
    for (i = 1; i <= n; i++) gsub(/^ +| +$/, "", part[i])
    return n
}

# Parentheses that are open after a text, those in strings not counted.
function open_after(text,    a, b)
{
    gsub(/"[^"]*"/, "", text)
    a = gsub(/\(/, "", text)
    b = gsub(/\)/, "", text)
    return a - b
}

function arguments(kind,    list)
{
    if (kind == "SQ_MAP1") return "(sq_var x)"
    if (kind == "SQ_MAP2") return "(sq_var a, sq_var b)"
    if (kind == "SQ_MAP3") return "(sq_var a, sq_var b, sq_var c)"
    if (kind == "SQ_OP") return part[2]
    list = part[2]
    gsub(/[a-z]+/, "double &", list)
    return "(sq_var x, " substr(list, 2)
}

# "dy/dx = SUB(K(1), MUL(y, y))", one for every operand, as the row has it.
function derivatives(kind, n,    first, i, out, operand)
{
    if (kind == "SQ_OP") return ""
    first = kind == "SQ_MAP1P" ? 4 : 3
    for (i = first; i < n - 2; i++) {
        operand = kind ~ /SQ_MAP1/ ? "x" : substr("abc", i - first + 1, 1)
        out = out "\n *     dy/d" operand " = " part[i]
    }
    return "\n *\n * Elementwise, in the words of ops.def" (kind ~ /SQ_MAP1/ ? "" : "; the operands broadcast") ":" \
           "\n *     y = " part[first - 1] out
}

function group_of(kind)
{
    if (kind == "SQ_OP") return "Structural"
    return kind ~ /SQ_MAP1/ ? "Elementwise, of one operand" : "Elementwise, of several operands"
}

function row(text,    kind, n, reads)
{
    kind = text
    sub(/ *\(.*/, "", kind)
    sub(/^[A-Z_0-9]+ *\(/, "", text)
    sub(/\)[ ]*$/, "", text)
    gsub(/[ \n]+/, " ", text)
    n = split_row(text)
    reads = substr(part[n], 2, length(part[n]) - 2)
    if (page) {
        printf "<tr><td>@ref sq_%s \"%s\"</td><td><code>%s</code></td></tr>\n", part[1], part[1], html(reads)
        return
    }
    if (group_of(kind) != group) print "\n/* ---- " (group = group_of(kind)) " ---- */\n"
    printf "/* %s.%s%s */\nSQ_API sq_var sq_%s%s;\n\n", reads, derivatives(kind, n),
           (comment == "" ? "" : "\n *\n * " comment), part[1], arguments(kind)
}
function html(text)
{
    gsub(/&/, "\\&amp;", text)
    gsub(/</, "\\&lt;", text)
    gsub(/>/, "\\&gt;", text)
    return text
}

BEGIN {
    if (page) print "/** @page operations All operations\n\nEvery row of ops.def, by its order there.\n\n<table class=\"ops\">"
}
END { if (page) print "</table> */" }

FNR == 1 && !page           { heading = 1 }
heading                     { print; if (/\*\//) heading = 0; next }
/^\/\* +name/ || /^$/       { comment = ""; next }
/^\/\*/                     { comment = substr($0, 4); inside = 1
                              if (sub(/ *\*\/ *$/, "", comment)) inside = 0
                              next }
inside                      { line = $0
                              if (sub(/ *\*\/ *$/, "", line)) inside = 0
                              comment = comment "\n" line; next }
/^SQ_/                      { text = $0
                              while (open_after(text) > 0 && (getline line) > 0) text = text " " line
                              row(text) }
