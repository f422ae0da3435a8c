# Reads what ci/coverage.sh has exported: the lines that users get, then the counts of all lines and
# branches, then those of all regions. Prints figures for each file, and what was never executed.
#
# A gap is a run of lines that never ran, and is known by its file, its length and its first line, so
# that lines may be added above it.

function in_source(path) { return index(path, root "src/") == 1 }
function percent(part, whole) { return whole ? sprintf("%5.1f", 100 * part / whole) : "    -" }
function row(name, file) {
    printf "%-36s %5d %5d %s %6d %6d %s %5d %5d %s\n", name, \
        lines[file], lines_run[file], percent(lines_run[file], lines[file]), \
        regions[file], regions_run[file], percent(regions_run[file], regions[file]), \
        branches[file], branches_run[file], percent(branches_run[file], branches[file])
}
function count(what, what_run, file, ran) {
    what[file]++; what["all"]++
    if (ran) { what_run[file]++; what_run["all"]++ }
}
function end_of_gap() {
    if (gap_lines) gaps[++gap_count] = gap_file " " gap_lines " " gap_text
    gap_lines = 0
}

FNR == 1 { input++ }

# The lines of a file come in order, and the files too.
input <= 2 && /^SF:/ { file = substr($0, 4); next }
!in_source(input <= 2 ? file : $1) { next }
input == 1 && /^DA:/ {
    split(substr($0, 4), field, ",")
    is_of_users[file, field[1]] = 1
    order[++order_count] = file SUBSEP field[1]
}
input == 2 && /^DA:/ {
    split(substr($0, 4), field, ",")
    ran[file, field[1]] = field[2] > 0
}
input == 2 && /^BRDA:/ {
    split(substr($0, 6), field, ",")
    if (!is_of_users[file, field[1]]) next
    branch = file SUBSEP field[1] SUBSEP field[2] SUBSEP field[3]
    if (!(branch in taken)) branch_order[++branch_count] = branch
    taken[branch] += field[4] == "-" ? 0 : field[4]
}
input == 3 && is_of_users[$1, $2] { region[$1 SUBSEP $2 SUBSEP $3] += $4 }

END {
    while ((getline line <known) > 0) {
        if (line ~ /^src\//) known_gaps[line]++
    }
    for (it in region) { split(it, part, SUBSEP); count(regions, regions_run, part[1], region[it]) }
    for (at = 1; at <= branch_count; at++) {
        split(branch_order[at], part, SUBSEP)
        count(branches, branches_run, part[1], taken[branch_order[at]])
        if (taken[branch_order[at]]) continue
        side = part[4] % 2 ? "false" : "true"
        print substr(part[1], length(root) + 1) ":" part[2] ": never " side >untaken
    }
    for (at = 1; at <= order_count; at++) {
        split(order[at], part, SUBSEP)
        file = part[1]; number = part[2]
        if (file != last_file) {
            end_of_gap()
            delete text
            for (n = 1; (getline line <file) > 0; n++) text[n] = line
            close(file)
            last_file = file
            files[++file_count] = file
        }
        count(lines, lines_run, file, ran[file, number])
        if (ran[file, number]) { end_of_gap(); continue }
        gap_name = substr(file, length(root) + 1)
        if (!gap_lines++) {
            gap_file = gap_name
            gap_text = text[number]
            sub(/^ +/, "", gap_text)
            sub(/ +$/, "", gap_text)
        }
        listed[++listed_count] = gap_name ":" number ": " text[number]
        gap_of[listed_count] = gap_count + 1
    }
    end_of_gap()

    for (at = 1; at <= listed_count; at++) {
        gap = gaps[gap_of[at]]
        if (gap_of[at] != last_gap) { is_known = known_gaps[gap]-- > 0; last_gap = gap_of[at] }
        print (is_known ? "      " : "NEW   ") listed[at]
        if (!is_known && gap != last_new) { new_gaps[++new_count] = gap; last_new = gap }
    }
    for (gap in known_gaps) if (known_gaps[gap] > 0) print "RAN   " gap

    printf "\n%-36s %17s %19s %17s\n", "file", "lines run     %", "regions run     %", \
        "branches run  %"
    for (at = 1; at <= file_count; at++) row(substr(files[at], length(root) + 5), files[at])
    row("all", "all")
    printf "%d of %d gaps are not in %s\n", new_count, gap_count, known
    for (at = 1; at <= new_count; at++) print "NEW   " new_gaps[at]
    print new_count ? "coverage: FAIL" : "coverage: PASS"
    exit new_count > 0
}
