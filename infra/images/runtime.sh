#!/bin/sh
# What a base brings for building goes; a user without a name or a home of its own comes.
set -eu
rm -rf /usr/lib/python3*/ensurepip /usr/share/python-wheels /usr/local/lib/python3*/ensurepip
rm -rf /usr/local/lib/python3*/site-packages/* /usr/lib/python3/dist-packages/*
rm -f /usr/local/bin/pip* /usr/local/bin/wheel /usr/local/bin/idle* /usr/local/bin/pydoc* /usr/local/bin/python*-config
rm -f /usr/bin/pip* /usr/bin/pydoc* /usr/bin/pygettext*
rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* /root/.cache
echo 'esteira:x:10001:10001::/tmp:/usr/sbin/nologin' >>/etc/passwd
echo 'esteira:x:10001:' >>/etc/group
