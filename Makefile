# ucopyd: what one does with this repository. `make help` lists it.

PREFIX  ?= /usr/local
DESTDIR ?=
VERSION := 0.1.0
SOVERSION := 0

BINDIR  := $(PREFIX)/bin
SBINDIR := $(PREFIX)/sbin
LIB     ?= lib
LIBDIR  := $(PREFIX)/$(LIB)
INCLUDEDIR := $(PREFIX)/include
MANDIR  := $(PREFIX)/share/man
PKGCONFIG_TEMPLATE := $(firstword $(wildcard kcopyd.pc.in Sources/CKCopyd/kcopyd.pc.in Sources/KCopyd/kcopyd.pc.in))
UNITDIR := $(PREFIX)/lib/systemd/system

RELEASE := .build/release
PRODUCTS := ucopyd ucopyctl kcopyd
SWIFT_BUILD := swift build -c release --static-swift-stdlib

# Debian packages: to build; to run the demo; to measure; to test.
BUILD_PACKAGES := make git ca-certificates pkg-config liburing-dev libsystemd-dev
DEMO_PACKAGES  := util-linux mount e2fsprogs qemu-utils
BENCH_PACKAGES := util-linux mount gcc libc6-dev python3 fio qemu-utils libnbd-bin nbdkit fuse3
CHECK_PACKAGES := util-linux mount e2fsprogs qemu-utils libnbd-bin python3-libnbd nbdkit fio fuse3 python3 python3-venv gcc g++ mandoc

.DEFAULT_GOAL := help
.PHONY: help build demo check bench lint format install clean build-packages

help:
	@echo 'make demo     install what is missing, build, copy a real file system, leave nothing behind'
	@echo 'make check    install what is missing, run every test that this machine can run'
	@echo 'make build    build the programs and the library in $(RELEASE)'
	@echo 'make bench    measure beside other programs (BENCH_FLAGS="--quick --only targets": a part, in short)'
	@echo 'make lint     check the format of the Swift sources; make format applies it'
	@echo 'make install  install under DESTDIR= PREFIX= (now: $(DESTDIR)$(PREFIX))'
	@echo 'make clean    remove what was built'

build-packages:
	@Tests/Scripts/packages.sh $(BUILD_PACKAGES)

build: build-packages
	@for product in $(PRODUCTS); do \
	    echo "building $$product"; $(SWIFT_BUILD) --quiet --product $$product || exit 1; \
	done

demo: build
	@Tests/Scripts/packages.sh $(DEMO_PACKAGES)
	@Tests/Demo/demo.sh $(RELEASE)

check: build-packages
	@Tests/Scripts/packages.sh $(CHECK_PACKAGES)
	@Tests/Scripts/check.sh

bench: build
	@Tests/Scripts/packages.sh $(BENCH_PACKAGES)
	@python3 Tests/Bench/bench.py --programs $(RELEASE) --json .build/bench.json $(BENCH_FLAGS)

lint:
	@swift format lint --strict --parallel --recursive Package.swift Sources Tests

format:
	@swift format --in-place --parallel --recursive Package.swift Sources Tests

# Installs what `make build` left in $(RELEASE), so that `sudo make install` needs no compiler.
install:
	@for file in ucopyd ucopyctl libkcopyd.so; do \
	    test -e $(RELEASE)/$$file || { echo "make install: $(RELEASE)/$$file: not built: run make build first" >&2; exit 1; }; \
	done
	install -D -m 755 $(RELEASE)/ucopyd $(DESTDIR)$(SBINDIR)/ucopyd
	install -D -m 755 $(RELEASE)/ucopyctl $(DESTDIR)$(BINDIR)/ucopyctl
	install -D -m 644 $(RELEASE)/libkcopyd.so $(DESTDIR)$(LIBDIR)/libkcopyd.so.$(VERSION)
	ln -sf libkcopyd.so.$(VERSION) $(DESTDIR)$(LIBDIR)/libkcopyd.so.$(SOVERSION)
	ln -sf libkcopyd.so.$(SOVERSION) $(DESTDIR)$(LIBDIR)/libkcopyd.so
	install -D -m 644 Sources/CKCopyd/include/kcopyd.h $(DESTDIR)$(INCLUDEDIR)/kcopyd.h
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(UNITDIR)
	sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@LIBDIR@|$(LIB)|g' -e 's|@VERSION@|$(VERSION)|g' $(PKGCONFIG_TEMPLATE) \
	    > $(DESTDIR)$(LIBDIR)/pkgconfig/kcopyd.pc
	chmod 644 $(DESTDIR)$(LIBDIR)/pkgconfig/kcopyd.pc
	set -e; for unit in systemd/*; do \
	    sed -e 's|@SBINDIR@|$(SBINDIR)|g' "$$unit" > $(DESTDIR)$(UNITDIR)/$$(basename "$$unit" .in); \
	    chmod 644 $(DESTDIR)$(UNITDIR)/$$(basename "$$unit" .in); \
	done
	set -e; find Docs -name '*.[1-8]' | while read -r page; do \
	    install -D -m 644 "$$page" $(DESTDIR)$(MANDIR)/man$${page##*.}/$$(basename "$$page"); \
	done
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions \
	    $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	$(RELEASE)/ucopyctl --generate-completion-script bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/ucopyctl
	$(RELEASE)/ucopyctl --generate-completion-script zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_ucopyctl
	$(RELEASE)/ucopyctl --generate-completion-script fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/ucopyctl.fish

clean:
	rm -rf .build .build-tsan .build-asan
