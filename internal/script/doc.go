// Package script runs tests that read as a conversation: a command, a line of dashes, what it answered.
//
//	# A transactional ID that nobody knows gets a producer ID. (transactions 1)
//	init id=pay timeout=60000
//	----
//	ok producer=1000 epoch=0
//
// A command line is a name, then arguments: `name=value`, or a bare word, which is a flag. A value with
// spaces stands in double quotes; a value in brackets, such as [a-0 a-1], is a list and keeps its
// spaces. Lines between the command line and the dashes are input. The expected output ends at the
// first empty line; output that has empty lines itself is written between two lines of dashes each:
//
//	show
//	----
//	----
//	first
//
//	second
//	----
//	----
//
// With -rewrite on the command line of the test the files are written anew with what was answered; the
// diff is what gets reviewed. Only tests use this package.
//
// # The dialect
//
// All scripts speak alike: one thing has one word, a whole one, and Kafka's where Kafka has one. In commands and
// arguments words are joined by a dash, in answers by an underscore.
//
//	id=t                      a transactional ID
//	producer=1000 epoch=0     a producer's ID and epoch; on the wire, where nobody knows the ID before, a letter
//	sequence=0 records=3      the base sequence of a batch, and how many records it has
//	transaction-version=2     of the producer, or of the cluster: 2 for transactions V2
//	partitions=[x-0 x-1]      partitions by topic and number; of=x-0 what a question is about, to=x-0 on the wire where
//	                          something goes
//	offsets=[x-0:10]          partitions, each with an offset
//	group=g                   a group
//	member=a instance=i       a member of a group, by the script's name for it, and its group instance ID
//	generation=1              the generation that a member believes in
//	protocols=[range:t]       what a member supports and which topics it subscribes to with it
//	version=9                 the version of a request
//	timeout=60000             a duration: 10s, 1m30s, or a number of milliseconds
//	commit, abort             how a transaction ends
//	kafka="…"                 what Apache Kafka answers instead; the title says why. On the wire ours="…" says what then
//	                          counts as answered
//
//	init, add-partitions, verify-partitions, end, markers      what a transaction consists of
//	join, sync, heartbeat, leave                               what a member of a group does
//	offset-commit, txn-commit, offset-fetch, offset-delete     what is done with offsets
//	append, read, offsets, producers                           what is done with a partition
//	describe-txn, list-txns, describe-group, list-groups       what tools ask for
//
// What a script does to the world around:
//
//	new                       begins anew with nothing; what it takes as arguments differs from the defaults
//	advance 10s               moves the clock, and does what falls due
//	fail appends              lets writes fail from here on; fail nothing ends that
//	restart [kill]            closes and opens again, or opens again without having closed
//	crash=after-prepare       an argument of any command: the process dies at a write, see Crash; restart comes next
//
// The answer is what was written because of the command, then what it was answered. An error is the name of its
// Kafka code. ok stands for success with nothing to tell; where answers are those of the wire, NONE is their code.
//
// A comment before a command is the title of what follows, see CheckTitles. A script whose first title begins with
// "Once only: " is not held with other brokers.
package script
