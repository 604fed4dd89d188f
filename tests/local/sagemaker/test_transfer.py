"""Archives that a user brings are opened without trusting them."""

import io
import tarfile

import pytest

from local.sagemaker.transfer import pack, unpack


def archive_with(path, *members):
    with tarfile.open(path, "w:gz") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_what_was_packed_is_unpacked(tmp_path):
    (tmp_path / "source" / "code").mkdir(parents=True)
    (tmp_path / "source" / "code" / "inference.py").write_text("x = 1")
    pack(tmp_path / "source", tmp_path / "model.tar.gz")
    unpack(tmp_path / "model.tar.gz", tmp_path / "target")
    assert (tmp_path / "target" / "code" / "inference.py").read_text() == "x = 1"


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "a/../../escaped"])
def test_a_member_outside_the_root_is_refused(tmp_path, name):
    archive = archive_with(tmp_path / "a.tar.gz", (tarfile.TarInfo(name), b"x"))
    with pytest.raises(tarfile.TarError, match="outside the archive's root"):
        unpack(archive, tmp_path / "target")
    assert not (tmp_path / "escaped").exists()


def test_a_link_is_refused(tmp_path):
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    archive = archive_with(tmp_path / "a.tar.gz", (link, b""))
    with pytest.raises(tarfile.TarError, match="neither a file nor a directory"):
        unpack(archive, tmp_path / "target")
