"""Where SQLite may be kept: recorded mount tables of real machines, and what is made of them."""

from pathlib import Path

import psutil
import pytest

from abr_tune import filesystems
from abr_tune.errors import EnvironmentFault
from abr_tune.filesystems import LOCAL_FUSE, REMOTE, Mount, mount_of, mounts, refuse_remote, sqlite_file

LAPTOP = """\
proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0
/dev/nvme0n1p2 / btrfs rw,relatime,subvol=/@ 0 0
/dev/nvme0n1p2 /home btrfs rw,relatime,subvol=/@home 0 0
tmpfs /tmp tmpfs rw,nosuid,nodev 0 0
nas:/volume1/data /home/ada/data nfs4 rw,relatime,vers=4.1,hard,proto=tcp,local_lock=none 0 0
ada@lab:/srv /home/ada/lab fuse.sshfs rw,nosuid,nodev,relatime,user_id=1000 0 0
//server/Shared\\040files /mnt/shared\\040files cifs rw,relatime,vers=3.1.1 0 0
/dev/sdb1 /media/stick fuseblk rw,relatime,user_id=0,blksize=4096 0 0
gvfsd-fuse /run/user/1000/gvfs fuse.gvfsd-fuse rw,nosuid,nodev,relatime 0 0
"""
WSL = """\
none /mnt/wsl tmpfs rw,relatime 0 0
/dev/sdc / ext4 rw,relatime,discard,errors=remount-ro,data=ordered 0 0
C:\\134 /mnt/c 9p rw,noatime,aname=drvfs;path=C:\\;uid=1000,trans=fd,rfd=8,wfd=8 0 0
"""
CONTAINER = """\
overlay / overlay rw,relatime,lowerdir=/var/lib/l/A:/var/lib/l/B,upperdir=/var/lib/u,workdir=/var/lib/w 0 0
shm /dev/shm tmpfs rw,nosuid,nodev,noexec,relatime,size=65536k 0 0
/dev/vda1 /etc/hosts ext4 rw,relatime 0 0
host /work virtiofs rw,relatime 0 0
tank/scratch /scratch zfs rw,xattr,noacl 0 0
fs.example:/x /work/slow nfs rw,vers=3 0 0
/dev/vdb /work/slow xfs rw,relatime 0 0
"""


def table(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Mount]:
    """What a machine with this /proc/self/mounts says."""
    (folder / "self").mkdir()
    (folder / "self/mounts").write_text(text)
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(folder))
    return mounts()


@pytest.mark.parametrize(
    ("machine", "path", "type_", "remote"),
    [
        (LAPTOP, "/home/ada/results", "btrfs", None),
        (LAPTOP, "/home/ada/data/results", "nfs4", "NFS"),
        (LAPTOP, "/home/ada/database", "btrfs", None),
        (LAPTOP, "/home/ada/lab", "fuse.sshfs", "sshfs"),
        (LAPTOP, "/mnt/shared files/a", "cifs", "CIFS"),
        (LAPTOP, "/media/stick/x", "fuseblk", None),
        (LAPTOP, "/tmp/x", "tmpfs", None),
        (WSL, "/mnt/c/Users/ada", "9p", "Windows drive"),
        (WSL, "/home/ada", "ext4", None),
        (CONTAINER, "/root/results", "overlay", None),
        (CONTAINER, "/work/x", "virtiofs", None),
        (CONTAINER, "/scratch", "zfs", None),
        (CONTAINER, "/work/slow/x", "xfs", None),
    ],
)
def test_the_filesystem_of_a_path(
    machine: str, path: str, type_: str, remote: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = mount_of(Path(path), table(machine, tmp_path, monkeypatch))
    assert found.type == type_
    assert (found.remote is None) == (remote is None)
    assert (remote or "") in (found.remote or "")


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "near").symlink_to(tmp_path / "far")
    known = [Mount(Path("/"), "ext4"), Mount(tmp_path / "far", "nfs")]
    assert mount_of(tmp_path / "near/results", known).type == "nfs"
    assert mount_of(tmp_path / "results", known).type == "ext4"
    assert mount_of(tmp_path, []) is None


def test_this_machine_has_a_root_and_local_programs_are_no_remote_types() -> None:
    assert mount_of(Path("/"), mounts()).point == Path("/")
    assert not LOCAL_FUSE & set(REMOTE)
    assert all(Mount(Path("/"), each).remote is None for each in LOCAL_FUSE)


def test_only_sqlite_is_refused_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystems, "mounts", lambda: [Mount(Path("/"), "nfs4")])
    with pytest.raises(EnvironmentFault, match=r"would lie on NFS, mounted at /: .* --out .* --storage postgresql"):
        refuse_remote(None, tmp_path / "results/x")
    with pytest.raises(EnvironmentFault, match="with a local path"):
        refuse_remote(f"sqlite:///{tmp_path}/study.db", tmp_path)
    refuse_remote("postgresql+psycopg://me@db/abr", tmp_path / "results/x")
    refuse_remote("no url", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_file_of_a_url() -> None:
    assert sqlite_file("sqlite:////a/b.db") == Path("/a/b.db")
    assert sqlite_file("sqlite+pysqlite:///b.db") == Path("b.db")
    assert sqlite_file("sqlite://") is None
    assert sqlite_file("postgresql://me@db/x") is None
