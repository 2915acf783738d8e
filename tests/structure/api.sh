#!/bin/sh
# api.sh HEADERS OUT DOXYGEN VERSION [LIBRARY NM] -- the API reference: OUT/html/index.html, made
# from the public headers by Doxygen, whose warnings are errors.
#
# api.awk turns the headers' plain comments into Doxygen's, api_ops.awk the rows of ops.def into
# prototypes and a table. Then the pages are counted: every struct, enum, macro, type and function
# has a description, and so has every symbol that LIBRARY exports.
set -eu
headers=$1 out=$2 doxygen=$3 version=$4 library=${5-} nm=${6-}
here=$(cd "$(dirname "$0")" && pwd)
rooms="core ops cells graph"
rm -rf "$out"
mkdir -p "$out"
out=$(cd "$out" && pwd)
[ -z "$library" ] || library=$(cd "$(dirname "$library")" && pwd)/$(basename "$library")
cd "$headers"

# ---- The headers in Doxygen's words ----------------------------------------------------------

# Links: every name that a header declares or a row of ops.def makes.
declared() {
    cat -- */*.h | grep -v '^ \*' | grep -oE '^(SQ_API|static).*\<sq_[a-z0-9_]+\(' | grep -oE 'sq_[a-z0-9_]+\($' | tr -d '('
    cat -- */*.h | grep -oE '^(}|typedef (struct|enum)).*\<sq_[a-z0-9_]+( {|;)$' | grep -oE 'sq_[a-z0-9_]+( {|;)$' | tr -d ' {;'
    awk -f "$here/api_ops.awk" ops/ops.def | grep -oE '^SQ_API sq_var sq_[a-z0-9_]+' | sed 's/.* //'
}
declared | sort -u >"$out/names"

for room in $rooms; do mkdir -p "$out/source/$room"; done
for header in */*.h; do
    awk -v names="$out/names" -f "$here/api.awk" "$header" >"$out/source/$header"
done
awk -f "$here/api_ops.awk" ops/ops.def | awk -v names="$out/names" -f "$here/api.awk" >"$out/source/ops/ops.def"
awk -v page=1 -f "$here/api_ops.awk" ops/ops.def >"$out/source/operations.dox"

# The main page: seqgrad.h, then what each room holds; its files' first lines say what they are.
{
    echo "@section rooms Where things are"
    for room in $rooms; do
        case $room in
        core) what="Tape, sweeps, weights, optimizers, files" ;;
        ops) what="The mathematics; @ref operations lists all of it" ;;
        cells) what="Recurrent cells, what goes around them, attention, initialisation" ;;
        graph) what="Programs over steps: unrolling, truncation, budgets, gradients by step, reports" ;;
        esac
        echo "<h3>$room</h3>"
        echo "$what."
        echo '<table class="files">'
        for file in "$room"/*.h "$room"/*.def; do
            [ -e "$file" ] || continue
            line=$(sed -n '1s/^\/\* *[a-z_.]* -- *//p' "$file" | sed 's/\. .*//;s/\.$//;s/&/\&amp;/g;s/</\&lt;/g;s/@/\\@/g')
            echo "<tr><td>@ref $file \"$(basename "$file")\"</td><td>$line</td></tr>"
        done
        echo "</table>"
    done
} >"$out/rooms"
awk -v names="$out/names" -v rooms="$out/rooms" -f "$here/api.awk" seqgrad.h >"$out/source/seqgrad.h"

# ---- The pages -------------------------------------------------------------------------------

cat >"$out/Doxyfile" <<END
PROJECT_NAME           = seqgrad
PROJECT_NUMBER         = $version
PROJECT_BRIEF          = "Automatic differentiation made for sequences"
OUTPUT_DIRECTORY       = $out
INPUT                  = $out/source
FILE_PATTERNS          = *.h *.def *.dox
RECURSIVE              = YES
EXTENSION_MAPPING      = def=C
STRIP_FROM_PATH        = $out/source
FULL_PATH_NAMES        = YES
OPTIMIZE_OUTPUT_FOR_C  = YES
TYPEDEF_HIDES_STRUCT   = YES
MARKDOWN_SUPPORT       = NO
EXTRACT_ALL            = YES
EXTRACT_STATIC         = YES
EXCLUDE_SYMBOLS        = SQI_* sqi_*
SORT_MEMBER_DOCS       = NO
MACRO_EXPANSION        = YES
SEARCH_INCLUDES        = NO
PREDEFINED             = SQ_API= SQ_CHECKED= SQ_PRINTF(a,b)=
EXPAND_ONLY_PREDEF     = NO
SHOW_INCLUDE_FILES     = NO
SHOW_HEADERFILE        = NO
VERBATIM_HEADERS       = NO
HAVE_DOT               = NO
GENERATE_LATEX         = NO
GENERATE_XML           = YES
XML_PROGRAMLISTING     = NO
GENERATE_TREEVIEW      = YES
DISABLE_INDEX          = NO
HTML_EXTRA_STYLESHEET  = $here/api.css
QUIET                  = YES
WARN_AS_ERROR          = FAIL_ON_WARNINGS
END
"$doxygen" "$out/Doxyfile"

# ---- What has a page -------------------------------------------------------------------------

# "kind name", with "undocumented" behind it where the description is empty.
awk '
function told() {
    if (kind != "" && name !~ /^SQI_|^$|^@/) print kind, name, (said ? "" : "undocumented")
    kind = ""
}
/<memberdef kind="(function|define|typedef|enum)"/ { kind = $0; sub(/.*kind="/, "", kind); sub(/".*/, "", kind); name = ""; said = 0; member = 1 }
/<compounddef [^>]*kind="(struct|union)"/          { whole = "struct"; whole_name = ""; whole_said = 0 }
/<compoundname>/ && whole != "" { whole_name = $0; gsub(/.*<compoundname>|<.*/, "", whole_name) }
/<name>/ && kind != "" && name == "" { name = $0; gsub(/.*<name>|<.*/, "", name) }
/<enumvalue/                 { value = 1; if (name == "" || name ~ /^@/) name = "of" }
/<name>/ && name == "of"     { name = $0; gsub(/.*<name>|<.*/, "", name) }
/<\/enumvalue>/              { value = 0 }
/<briefdescription>|<detaileddescription>/ { text = 1 }
text && /<para>|<verbatim>/  { if (member && !value) said = 1; else if (!member) whole_said = 1 }
/<\/briefdescription>|<\/detaileddescription>/ { text = 0 }
/<memberdef/                 { member = 1 }
/<\/memberdef>/              { told(); member = 0 }
/<\/compounddef>/            { if (whole != "") print whole, whole_name, (whole_said ? "" : "undocumented"); whole = "" }
' "$out"/xml/*.xml | sort -u >"$out/pages"

bad=0
if grep 'undocumented$' "$out/pages"; then bad=1; fi
if [ -n "$library" ]; then
    "$nm" -D --defined-only "$library" | awk '{ print $NF }' | sed 's/@.*//' | sort -u >"$out/exported"
    [ -s "$out/exported" ] || { echo "$library exports nothing"; bad=1; }
    awk '$1 == "function" { print $2 }' "$out/pages" | sort -u | comm -23 "$out/exported" - >"$out/missing"
    if [ -s "$out/missing" ]; then echo "exported, but without a page:"; cat "$out/missing"; bad=1; fi
    echo "$(wc -l <"$out/exported") exported symbols"
fi
awk '{ count[$1]++ } END { for (kind in count) printf "%d %s%s  ", count[kind], kind, count[kind] == 1 ? "" : "s"; print "" }' "$out/pages"
echo "$out/html/index.html"
exit $bad
