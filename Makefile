# SPDX-License-Identifier: Apache-2.0
#
# The two commands are `make run` and `make test`; `make help` lists the rest. Thin on purpose: Meson
# builds, and each longer step is a script in scripts/.

SHELL  := /bin/bash
BUILD  ?= build
PREFIX ?= /usr/local
STEPS  ?=
SUDO   := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

export STEAD_BUILD_DIR = $(abspath $(BUILD))

.DEFAULT_GOAL := build
.PHONY: help setup build run down stop purge test bench fuzz format tidy install uninstall deb clean

help: ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: ## installs what building and running need (apt; nothing when all is there)
	@scripts/setup build run

build: ## builds into build/
	@scripts/setup build
	@scripts/build $(BUILD) --prefix=$(PREFIX) --buildtype=release -Dwerror=false

run: setup build ## brings up examples/edge-node.yaml on this host, and shows it
	@scripts/run

down: ## takes away what `make run` brought up
	@scripts/run --down

stop: ## ends the daemon; instances go on
	@scripts/run --stop

purge: ## removes all that stead has on this host (SURE=yes)
	@scripts/run --purge

test: ## everything; STEPS="unit rules" for some
	@scripts/setup build run test
	@scripts/test $(STEPS)

bench: ## measures the figures of SPECIFICATION.md and writes them there
	@scripts/setup build run bench
	@$(MAKE) --no-print-directory build
	@$(SUDO) env STEAD_BUILD_DIR=$(STEAD_BUILD_DIR) bench/run

fuzz: ## fuzzes each target for FUZZ_SECONDS (60)
	@scripts/setup build test
	@scripts/fuzz

format: ## lays out the C code
	@scripts/format

tidy: ## static analysis
	@scripts/setup build test
	@scripts/build build-clang --native-file scripts/clang.ini
	@scripts/tidy build-clang

install: build ## installs below PREFIX (/usr/local), and makes the group stead
	@$(SUDO) env DESTDIR="$(DESTDIR)" scripts/install $(BUILD)

uninstall: build ## takes away what `make install` with the same PREFIX did; records and images stay
	@$(SUDO) env DESTDIR="$(DESTDIR)" scripts/install --remove $(BUILD)

deb: ## makes the Debian packages in build-deb/
	@scripts/setup build deb
	@scripts/deb

clean: ## removes what was built
	@rm -rf build build-*
