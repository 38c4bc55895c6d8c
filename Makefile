# The checks, by what they cost. `go test ./...` needs nothing but Go; so do all of these but compat.

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
# Modules of their own, so that the broker's go.mod stays short: clients in Go, and the exactly-once checker.
NESTED := compat/go compat/eos
# The systems that the broker is built for.
SYSTEMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64
# Where an invariant that breaks would cost data.
CORE := ./log/... ./durability ./lso ./pidmanager ./partition ./topics ./txncoordinator ./groupcoordinator ./broker/... ./internal/...
FUZZTIME ?= 30s
IMAGE ?= once
VERSION ?=

.PHONY: help licenses build builds image test check check-format check-vet check-lint check-race check-invariants check-sizes check-nested compat suite tools differential mutants eos bench fuzz crash crash-sample nightly

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

licenses: ## write cmd/broker/licenses from the modules that are linked; after a change of go.mod
	go test ./cmd/broker -count=1 -run TestLicensesAreThoseOfTheLinkedModules -rewrite-licenses

build: ## the program, as the image has it
	CGO_ENABLED=0 go build -trimpath -ldflags='-s -w -X main.version=$(VERSION)' -o bin/broker ./cmd/broker

builds: ## everything, tests too, compiled and vetted for all systems; runs nothing
	@set -e; for system in $(SYSTEMS); do echo "== $$system"; export CGO_ENABLED=0 GOOS=$${system%/*} GOARCH=$${system#*/}; \
		go build -o /dev/null ./cmd/broker; go vet ./...; done

# ARCH for another machine; its base image has to be of that kind, too.
ARCH := $(shell go env GOARCH)
image: ## the container image, with the program built here; `docker build .` builds it inside
	CGO_ENABLED=0 GOOS=linux GOARCH=$(ARCH) go build -trimpath -ldflags='-s -w -X main.version=$(VERSION)' -o bin/image/broker ./cmd/broker
	docker build --build-arg BINARY=bin/image/broker --build-arg VERSION='$(VERSION)' \
		--build-arg REVISION="$$(git rev-parse HEAD 2>/dev/null)" -t $(IMAGE) .

test: ## everything in Go, with stock clients in Go against a started broker
	go test ./...
	cd compat/go && go test -count=1 ./...

# What every change has to pass. At its end the tree is as it was: nothing generated, nothing left behind.
tree = { git status --porcelain --untracked-files=all; git diff; } 2>/dev/null | cksum
check: ## what every change has to pass
	@before=$$($(tree)); \
	$(MAKE) --keep-going --no-print-directory check-format check-vet check-lint check-race check-invariants check-sizes check-nested && \
	if [ "$$before" != "$$($(tree))" ]; then echo 'the checks changed the tree:'; git status --short; exit 1; fi

check-format:
	@echo '== gofmt'; unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "not formatted:"; echo "$$unformatted"; exit 1; }

check-vet:
	go vet ./...
	go vet -tags invariants ./...

check-lint:
	go run $(STATICCHECK) ./...

check-race:
	go test -race -shuffle=on -timeout 15m ./...

check-invariants:
	go test -tags invariants -shuffle=on -timeout 10m $(CORE)

# Everything that log and durability read and write in pieces, in pieces of 1 to 100 bytes.
check-sizes:
	ONCE_SMALL_SIZES=1 go test ./log ./durability

# They start a program that they build themselves, which the cache of test results knows nothing of.
check-nested:
	@set -e; for module in $(NESTED); do echo "== $$module"; (cd $$module && go vet ./... && go test -count=1 ./...); done

compat: ## stock clients of other languages and Kafka's own tools; see compat/README.md
	compat/run.sh

suite: ## transactional tests in Java, each on a broker that is as new; AGAINST=HOST:PORT for one that runs, such as Kafka
	compat/suite.sh $(if $(AGAINST),--against $(AGAINST))

# JARS is a directory with the jars of kafka-tools 4.4.0, such as the one that compat/run.sh fills.
JARS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/once-compat/jars/4.4.0
tools: build ## Kafka's own command-line tools against this broker; writes docs/tools.md
	python3 compat/tools/run.py --jars '$(JARS)' --broker bin/broker --table docs/tools.md

differential: ## random requests, Apache Kafka's answers beside this broker's: KAFKA=HOST:PORT; FLAGS="-seed 7 -sequences 500"
	cd compat/go && go run ./differential -kafka $(KAFKA) $(FLAGS)

mutants: ## the broker broken on purpose: each mutant has to be caught by a stock client
	compat/mutants.sh

eos: ## the exactly-once checker with kills; FLAGS="-records 50000 -kills 3 -seed 7" changes it
	$(MAKE) -C compat/eos eos FLAGS="$(FLAGS)"

bench: ## benchmarks
	go test -run '^$$' -bench . -benchmem ./...

fuzz: ## each fuzz test for FUZZTIME
	@set -e; for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' "$$package" | grep '^Fuzz' || true); do \
			echo "== $$package $$target"; go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$package"; \
		done; \
	done

# What crash tests do beyond go test: tests that mount, trace, stop a process or need root, and more of each sweep.
CRASH := TestStorage|TestRecovery|TestDerived|TestTails|TestDamage|TestModeCan|Compact|Retention|TestPowerCut|TestKill|TestFailed|TestFull|TestSlow|TestImage|TestTopicOfADeletedOnesName|TestFlippedBitOf|TestRestore
CRASHING := ./partition ./broker ./topics ./meta ./cluster ./cmd/broker

SEEDS ?= 20
crash: ## all of the crash tests, every operation of SEEDS stories; see docs/fault-tests.md
	ONCE_CRASH=$(SEEDS) go test -count=1 $(CRASHING) -run '$(CRASH)' -v -timeout 8h

crash-sample: ## all of the crash tests, a sample of the operations
	ONCE_CRASH=sample go test -count=1 $(CRASHING) -run '$(CRASH)' -timeout 15m

# What is too long for every change: whole sweeps over every write, sync, rename and truncate, long runs with
# kills, fuzzing, the mutants.
nightly: crash ## whole sweeps, long runs with kills, fuzzing, mutants
	ONCE_METAMORPHIC=200 go test -count=1 ./cluster -run TestSameHistorySameAnswers -timeout 1h
	for part in $$(seq 8); do ONCE_FLIP_SWEEP=$$part/8 go test -count=1 ./inspect -run TestDamageIsNotServed -v -timeout 1h || exit 1; done
	ONCE_RESETS=1000 go test -count=1 ./broker -run TestThousandResets
	ONCE_META_SWEEP=1 go test ./meta ./broker -run 'Flipped|Spoiled|EveryFileThatBbolt' -v -timeout 4h
	for n in $$(seq $(SEEDS)); do ONCE_SMALL_SIZES=$$n go test ./log ./durability || exit 1; done
	$(MAKE) eos FLAGS="-records 1000000 -kills 50"
	$(MAKE) fuzz FUZZTIME=5m
	$(MAKE) suite
	$(MAKE) mutants
