"""Certificates of an authority that is not berth's, by openssl(1)."""

import subprocess

from berthlib import check


def openssl(folder, *args):
    answer = subprocess.run(["openssl", *args], cwd=folder, capture_output=True, text=True)
    check(answer.returncode == 0, f"openssl {' '.join(args)}", answer.stderr)
    return answer.stdout


class Authority:
    """One that is not berth's, as a company has it: a root, and an intermediate that signs."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        for name, issuer, more in (("root", None, "CA:TRUE"), ("middle", "root", "CA:TRUE,pathlen:0")):
            self.sign(name, issuer, f"basicConstraints=critical,{more}\nkeyUsage=keyCertSign")

    def sign(self, name, issuer, extensions, days="90"):
        f = self.folder
        (f / "ext").write_text(extensions + "\n")
        openssl(f, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out",
                f"{name}.key")
        openssl(f, "req", "-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-out", "csr")
        by = ["-signkey", f"{name}.key"] if issuer is None else [
            "-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key", "-CAcreateserial"]
        openssl(f, "x509", "-req", "-in", "csr", *by, "-days", days, "-extfile", "ext", "-out",
                f"{name}.pem")

    def issue(self, to, names, days="90"):
        """chain.pem and key.pem into that folder."""
        to.mkdir(exist_ok=True)
        alt = ",".join(f"DNS:{n}" for n in names)
        self.sign("leaf", "middle", f"subjectAltName={alt}\nextendedKeyUsage=serverAuth", days)
        (to / "chain.pem").write_text((self.folder / "leaf.pem").read_text() +
                                      (self.folder / "middle.pem").read_text())
        (to / "key.pem").write_bytes((self.folder / "leaf.key").read_bytes())
