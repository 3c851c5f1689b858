#!/bin/sh
# What a base brings for building, installing and becoming another user goes; a user without a name or a home of its own
# comes. dpkg's list of what is installed stays, for those who look for known faults.
set -eu
rm -rf /usr/lib/python3*/ensurepip /usr/share/python-wheels /usr/local/lib/python3*/ensurepip
rm -rf /usr/local/lib/python3*/site-packages/* /usr/lib/python3/dist-packages/*
rm -f /usr/local/bin/pip* /usr/local/bin/wheel /usr/local/bin/idle* /usr/local/bin/pydoc* /usr/local/bin/python*-config
rm -f /usr/bin/pip* /usr/bin/pydoc* /usr/bin/pygettext*
rm -rf /usr/bin/apt* /usr/lib/apt /usr/bin/dpkg* /usr/sbin/dpkg* /usr/lib/dpkg /usr/bin/deb*
rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* /root/.cache
find / -xdev -type f -perm /6000 -exec chmod a-s {} +
echo 'esteira:x:10001:10001::/tmp:/usr/sbin/nologin' >>/etc/passwd
echo 'esteira:x:10001:' >>/etc/group
sh /build/images/compile.sh "$(python3 -c 'import sysconfig; print(sysconfig.get_paths()["stdlib"])')"
