# SPDX-License-Identifier: Apache-2.0
"""A libvirt domain equal to one of stead's, for virsh to start: the same XML and files, under another
name. What stead makes for an instance before it starts it is copied before the clock runs."""

import os
import re
import shutil
import uuid
from pathlib import Path

from host import virsh

PREFIX = "stead-bench-twin"


class Twin:
    def __init__(self, domain, folder):
        """`domain` is stead's, defined; the twin's XML lies in `folder`."""
        self.id = str(uuid.uuid4())
        self.name = f"{PREFIX}-{self.id[:8]}"
        self.made = []
        self.xml = Path(folder) / f"{self.name}.xml"
        self.xml.write_text(self.translate(virsh("dumpxml", "--inactive", "--security-info", domain)))

    def translate(self, xml):
        old_id = re.search(r"<uuid>(.*?)</uuid>", xml)[1]
        xml = re.sub(r"<metadata>.*?</metadata>\s*", "", xml, flags=re.S)
        xml = re.sub(r"<name>.*?</name>", f"<name>{self.name}</name>", xml, count=1)
        for path in set(re.findall(rf"[\"'>](/[^\"'<>]*{old_id[:8]}[^\"'<>]*)[\"'<]", xml)):
            self.copy(Path(path), Path(self.renamed(path, old_id)))
        xml = self.renamed(xml, old_id)
        return re.sub(r"(<mac address=['\"]..:..:..:..):..:..", rf"\1:{self.id[0:2]}:{self.id[2:4]}", xml)

    def renamed(self, text, old_id):
        return text.replace(old_id, self.id).replace(old_id[:8], self.id[:8])

    def copy(self, old, new):
        """The file where there is one (a socket or a log is made by libvirt), and its folder."""
        if not new.parent.exists():
            new.parent.mkdir(parents=True)
            shutil.copystat(old.parent, new.parent)
            info = old.parent.stat()
            os.chown(new.parent, info.st_uid, info.st_gid)
            self.made.append(new.parent)
        if old.is_file():
            shutil.copy2(old, new)
            self.made.append(new)

    def destroy(self):
        virsh("destroy", self.name, ok=False)
        virsh("undefine", "--nvram", self.name, ok=False)

    def remove(self):
        self.destroy()
        for path in reversed(self.made):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        self.xml.unlink(missing_ok=True)
