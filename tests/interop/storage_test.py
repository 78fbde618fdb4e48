"""Disks, data volumes and swap on this machine's own kernel, which a sandbox's guests may not use for
them: a root partition and its file system grow while they are in use (ext4, xfs; with growpart and
without), a volume grows while it is mounted, swap is used. Everything lies on loop devices, in mount
namespaces and roots of its own. Usage: storage_test.py HOST_SCRIPT"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from berthlib import check, need_program, need_root, skip, step

need_root()
need_program("losetup", "unshare", "chroot", "mkfs.ext4", "sfdisk", "partx")
if not os.path.exists("/dev/loop-control"):
    skip("no loop devices")
if os.environ.get("STORAGE_TEST_INSIDE") is None:
    os.environ["STORAGE_TEST_INSIDE"] = "1"
    os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, *sys.argv])

SCRIPT = sys.argv[1]
# Without it the kernel refuses to resize a mounted ext4, whoever asks.
CAP_SYS_RESOURCE = 24
resizes = bool(int(next(line.split()[1] for line in open("/proc/self/status")
                        if line.startswith("CapEff:")), 16) >> CAP_SYS_RESOURCE & 1)
GIB = 1 << 30


def run(*args, input=None):
    done = subprocess.run(args, input=input, capture_output=True, text=True)
    check(done.returncode == 0, " ".join(map(str, args)), done.stdout, done.stderr)
    return done.stdout


class Disk:
    """A sparse file behind a loop device, which can grow."""

    def __init__(self, folder, name, gib):
        self.file = folder / name
        self.file.touch()
        os.truncate(self.file, gib * GIB)
        self.device = run("losetup", "-f", "-P", "--show", self.file).strip()
        self.name = self.device.split("/")[-1]

    def grow(self, gib):
        os.truncate(self.file, gib * GIB)
        run("losetup", "-c", self.device)

    def free(self):
        run("losetup", "-d", self.device)


class Root:
    """A root of its own on a device, with this machine's programs."""

    def __init__(self, path, device):
        self.path = path
        path.mkdir(exist_ok=True)
        run("mount", device, path)
        for name in ("usr", "dev", "proc", "sys", "run", "etc", "var/lib", "tmp", "data"):
            (path / name).mkdir(parents=True, exist_ok=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            if not (path / name).is_symlink():
                os.symlink(f"usr/{name}", path / name)
        for name in ("passwd", "group", "ld.so.cache", "mke2fs.conf"):
            if pathlib.Path("/etc", name).exists():
                shutil.copy(f"/etc/{name}", path / "etc" / name)
        if os.path.isdir("/etc/alternatives"):
            shutil.copytree("/etc/alternatives", path / "etc/alternatives", symlinks=True,
                            dirs_exist_ok=True)
        run("mount", "--bind", "/usr", path / "usr")
        run("mount", "-t", "proc", "proc", path / "proc")
        run("mount", "-t", "sysfs", "sysfs", path / "sys")
        run("mount", "-t", "tmpfs", "tmpfs", path / "dev")
        run("mount", "-t", "tmpfs", "tmpfs", path / "run")
        for name, minor in (("null", 3), ("zero", 5), ("urandom", 9)):
            os.mknod(path / "dev" / name, 0o20666, os.makedev(1, minor))
        for sys_dev in pathlib.Path("/sys/class/block").glob("loop*/dev"):
            self.node(sys_dev.parent.name)

    def node(self, name):
        major, minor = pathlib.Path(f"/sys/class/block/{name}/dev").read_text().split(":")
        if not (self.path / "dev" / name).exists():
            os.mknod(self.path / "dev" / name, 0o60600, os.makedev(int(major), int(minor)))

    def volume(self, id, disk):
        folder = self.path / "dev/disk/by-id"
        folder.mkdir(parents=True, exist_ok=True)
        os.symlink(f"../../{disk.name}",
                   folder / f"nvme-Amazon_Elastic_Block_Store_{id.replace('-', '')}")

    def sh(self, script, good=True):
        done = subprocess.run(["chroot", self.path, "sh", "-s"], input=script, text=True,
                              capture_output=True)
        check(not good or done.returncode == 0, "the script works", script, done.stdout, done.stderr)
        return done.stdout + ("" if good else done.stderr)

    def step(self, *args, good=True):
        return self.sh(run(SCRIPT, "step", *map(str, args)), good)

    def facts(self, *args):
        lines = self.sh(run(SCRIPT, "probe", *map(str, args)) + "exit 0\n").splitlines()
        return dict(line.split("\t")[1:] for line in lines)

    def free(self):
        run("umount", "-R", self.path)


def roots(folder):
    for kind in ("ext4", "xfs"):
        if shutil.which(f"mkfs.{kind}") is None:
            print(f"      (no mkfs.{kind} here)", flush=True)
            continue
        for grower in ("growpart", "sfdisk"):
            if shutil.which(grower) is None:
                print(f"      (no {grower} here)", flush=True)
                continue
            step(f"a root of {kind} grows with its disk while it is in use, by {grower}")
            disk = Disk(folder, f"root-{kind}-{grower}", 1)
            run("sfdisk", "-q", disk.device, input="label: gpt\n,,\n")
            run("partx", "-u", disk.device)
            run(f"mkfs.{kind}", "-q", f"{disk.device}p1")
            root = Root(folder / "root", f"{disk.device}p1")
            if grower == "sfdisk" and shutil.which("growpart"):
                run("mount", "--bind", "/dev/null", root.path / "usr/bin/growpart")
            check(root.facts("disk", 1) == {"size": "1"}, "it fills its disk",
                  root.facts("disk", 1))
            disk.grow(2)
            check(root.facts("disk", 2) == {"size": "1"}, "not any more", root.facts("disk", 2))
            if kind == "ext4" and not resizes:
                root.step("disk", 2, good=False)
                size = int(pathlib.Path(f"/sys/class/block/{disk.name}p1/size").read_text()) * 512
                check(size > 1.9 * GIB, "its partition has grown", size)
                print("      (no CAP_SYS_RESOURCE here: the rest is not seen)", flush=True)
                root.free()
                disk.free()
                continue
            root.step("disk", 2)
            check(root.facts("disk", 2) == {"size": "2"}, "again", root.facts("disk", 2))
            blocks = int(root.sh("df --output=size -k / | tail -n 1"))
            check(blocks > 1.8 * 2**20, "df shows it", blocks)
            root.step("disk", 2)
            root.free()
            disk.free()


def data(folder, root):
    for kind in ("ext4", "xfs"):
        if shutil.which(f"mkfs.{kind}") is None:
            continue
        step(f"a volume of {kind} grows while it is mounted and in use")
        id = f"vol-0{kind}"
        disk = Disk(folder, f"data-{kind}", 1)
        root.node(disk.name)
        root.volume(id, disk)
        if kind != "ext4":  # which a blank one gets
            run(f"mkfs.{kind}", "-q", disk.device)
        mount = f"/data/{kind}"
        (root.path / mount[1:]).mkdir()
        (root.path / mount[1:] / "before").write_text("there before\n")
        asked = ("data", 1, id, mount)
        said = root.step(*asked)
        check("formatting" in said if kind == "ext4" else "hidden" in said, "what was done", said)
        seen = root.facts(*asked)
        check((seen["type"], seen["size"], seen["mounted"], seen["at_boot"]) ==
              (kind, "1", "yes", "yes"), "as it is to be", seen)
        check(root.sh(f"ls {mount}/before 2>/dev/null || :").strip() ==
              (f"{mount}/before" if kind == "ext4" else ""), "what was there is on a new one")
        root.sh(f"echo mine >{mount}/file")
        disk.grow(2)
        check(root.facts(*asked)["size"] == "1", "not yet", root.facts(*asked))
        if kind == "ext4" and not resizes:  # then it is unmounted for that
            root.step("data", 2, id, mount)
        else:
            with open(root.path / mount[1:] / "file"):  # in use
                root.step("data", 2, id, mount)
        check(root.facts("data", 2, id, mount)["size"] == "2", "grown", root.facts(*asked))
        check(root.sh(f"cat {mount}/file; df --output=size -k {mount} | tail -n 1").split()[0] ==
              "mine", "the file is there")
        check(int(root.sh(f"df --output=size -k {mount} | tail -n 1")) > 1.8 * 2**20, "df shows it")
        root.sh(f"umount {mount}")
        disk.free()


def cut_fill(folder, root):
    """What lies in the folder is copied to a new volume: half of it is not taken for all."""
    id, mount = "vol-0cut", "/data/cut"
    disk = Disk(folder, "data-cut", 1)
    root.node(disk.name)
    root.volume(id, disk)
    (root.path / mount[1:]).mkdir()
    for name in "ab":
        (root.path / mount[1:] / name).write_text("there before\n")
    script = run(SCRIPT, "step", "data", "1", id, mount)
    for how in "return 1", "kill -9 $$":
        step(f"a copy to a new volume that ends in the middle ({how}) is made anew")
        said = root.sh(f'cp() {{ command cp -a {mount}/a "$3"; {how}; }}\n{script}', good=False)
        check("copying" in said, "it was begun", said)
        check(root.sh(f"findmnt -rno SOURCE -M {mount} || :") == "", "it is not mounted there")
    root.sh(script)
    check(root.sh(f"cat {mount}/b; findmnt -rno SOURCE -M {mount}").split()[-1].endswith(disk.name), "now it is")
    check(root.sh(f"cat {mount}/a {mount}/b") == "there before\n" * 2, "all of it is there")
    check(root.sh("findmnt -rn | grep berth-data || :") == "", "no other mount is left")
    root.sh(f"echo mine >{mount}/file; umount {mount}")
    root.sh(script)
    check(root.sh(f"cat {mount}/file") == "mine\n", "it is never made anew again")
    root.sh(f"umount {mount}")
    disk.free()


def swap(root):
    step("a swap file: made, resized, removed; too large is refused before it fills the disk")
    check(root.facts("swap", 1) == {}, "none", root.facts("swap", 1))
    said = root.step("swap", 50, good=False)
    check("too little" in said, "what to do", said)
    try:
        for gib in (1, 2):
            root.step("swap", gib)
            check(root.facts("swap", gib) == {"size": str(gib)}, "in use", root.facts("swap", gib))
        check(root.sh("grep -c swap /etc/fstab").strip() == "1", "one line")
    finally:
        root.step("swap")
    check(root.facts("swap", 1) == {} and "swap" not in root.sh("cat /etc/fstab; ls /var/lib/berth"),
          "gone", root.facts("swap", 1))


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="berth-storage-"))
    try:
        roots(folder)
        plain = Disk(folder, "plain", 6)
        run("mkfs.ext4", "-q", plain.device)
        root = Root(folder / "root", plain.device)
        data(folder, root)
        cut_fill(folder, root)
        swap(root)
        root.free()
        plain.free()
    finally:
        subprocess.run(["umount", "-R", folder / "root"], capture_output=True)
        for line in run("losetup", "-nO", "NAME,BACK-FILE").splitlines():
            if str(folder) in line:
                subprocess.run(["losetup", "-d", line.split()[0]])
        shutil.rmtree(folder, ignore_errors=True)
    print("good", flush=True)


main()
