# Builds and installs the C library, for those who use neither CMake nor cargo-c:
#
#     make
#     make install PREFIX=/usr/local DESTDIR=
#
# LIBDIR and INCLUDEDIR say where libraries and headers go; SHARED=no or STATIC=no leaves one of the libraries out. What make
# builds lies in target/contrib/, and can be linked there; `make install` installs what was built. packaging/build.sh says what else can be given.

PREFIX     ?= /usr/local
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DOCDIR     ?= $(PREFIX)/share/doc/contrib
SHARED     ?= yes
STATIC     ?= yes

BUILD   := target/contrib
VERSION := $(shell packaging/version.sh)
SYSTEM_LIBRARIES := $(if $(filter Darwin,$(shell uname)),-lm,-lpthread -ldl -lm)
TO      := $(DESTDIR)$(LIBDIR)

.PHONY: all install uninstall test clean

all:
	packaging/build.sh $(BUILD)

# Does not build what is there, so that `sudo make install` needs no Rust.
$(BUILD)/libcontrib.a:
	packaging/build.sh $(BUILD)

install: $(BUILD)/libcontrib.a
	install -d "$(TO)/pkgconfig" "$(DESTDIR)$(INCLUDEDIR)/contrib" "$(DESTDIR)$(DOCDIR)"
	install -m 644 include/contrib.h include/contrib.hpp "$(DESTDIR)$(INCLUDEDIR)"
	install -m 644 include/contrib/*.hpp "$(DESTDIR)$(INCLUDEDIR)/contrib"
	install -m 644 LICENSE-MIT LICENSE-APACHE packaging/THIRD-PARTY "$(DESTDIR)$(DOCDIR)"
	if [ -e $(BUILD)/COPYRIGHT-library.html ]; then install -m 644 $(BUILD)/COPYRIGHT-library.html "$(DESTDIR)$(DOCDIR)"; fi
	$(if $(filter yes,$(STATIC)),install -m 644 $(BUILD)/libcontrib.a "$(TO)")
	$(if $(filter yes,$(SHARED)),set -e; for library in $(BUILD)/*.so* $(BUILD)/*.dylib; do \
	    if [ -e "$$library" ]; then cp -P "$$library" "$(TO)"; fi; done)
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' \
	    -e 's|@VERSION@|$(VERSION)|' -e 's|@SYSTEM_LIBRARIES@|$(SYSTEM_LIBRARIES)|' \
	    packaging/contrib.pc.in > "$(TO)/pkgconfig/contrib.pc"
	chmod 644 "$(TO)/pkgconfig/contrib.pc"

uninstall:
	rm -f "$(TO)"/libcontrib.a "$(TO)"/libcontrib*.so* "$(TO)"/libcontrib*.dylib "$(TO)/pkgconfig/contrib.pc"
	rm -f "$(DESTDIR)$(INCLUDEDIR)/contrib.h" "$(DESTDIR)$(INCLUDEDIR)/contrib.hpp"
	rm -rf "$(DESTDIR)$(INCLUDEDIR)/contrib" "$(DESTDIR)$(DOCDIR)"

test:
	packaging/test.sh

clean:
	rm -rf $(BUILD)
