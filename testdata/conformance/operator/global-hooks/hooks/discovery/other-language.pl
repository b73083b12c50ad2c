#!/usr/bin/env perl
# C-010, C-024: any language; the configuration may as well be JSON.
use strict;
if (@ARGV && $ARGV[0] eq '--config') { print '{"configVersion":"v1","onStartup":60}'; exit 0; }
open(my $out, '>>', "$ENV{CONFORMANCE_RECORD}/discovery-order") or die;
print $out "other-language.pl\n";
