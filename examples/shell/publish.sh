#!/bin/sh
# Tests in plain shell, published: writes JUnit XML, which every tool can, and hands it to `testbus publish`.
#
#   TESTBUS_URL=amqps://user:password@host/vhost TESTBUS_PROJECT=shop examples/shell/publish.sh
#
# Exits as `testbus publish` does; what the tests said is for the gates to judge: `testbus verdict`.
set -u

report=${REPORT:-junit.xml}
cases=

# escape TEXT: as XML wants it.
escape() {
    printf '%s' "$1" | sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/"/\&quot;/g'
}

# check NAME COMMAND…: one test; it passes when the command does.
check() {
    name=$(escape "$1")
    shift
    if output=$("$@" 2>&1); then
        cases="$cases<testcase classname=\"smoke\" name=\"$name\"/>"
    else
        message=$(escape "exit status $? of: $*")
        output=$(escape "$output")
        cases="$cases<testcase classname=\"smoke\" name=\"$name\"><failure message=\"$message\">$output</failure></testcase>"
    fi
}

check 'the root is a folder' test -d /
check 'numbers are equal' test 1 -eq 1
check 'a file that is not there' ls /no/such/file

printf '<?xml version="1.0" encoding="UTF-8"?>\n<testsuite name="smoke">%s</testsuite>\n' "$cases" > "$report"

exec testbus publish "$report"
