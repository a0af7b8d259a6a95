"""A CA run by the `openssl` command: what it issues, revokes and vouches for, gcks must read."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

CONFIG = """\
[ca]
default_ca = here
[here]
database = {dir}/index.txt
crlnumber = {dir}/crlnumber
new_certs_dir = {dir}
serial = {dir}/serial
default_md = sha256
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
[req]
distinguished_name = dn
[dn]
[authority]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign,cRLSign
[code_signer]
basicConstraints = critical,CA:true
extendedKeyUsage = codeSigning
[delegate]
extendedKeyUsage = OCSPSigning
[plain]
basicConstraints = CA:false
"""


class OpensslCa:
    """One CA in one directory."""

    def __init__(self, directory: Path, name: str = "ca", parent: OpensslCa | None = None) -> None:
        self.dir, self.name = directory / name, name
        self.dir.mkdir()
        (self.dir / "index.txt").touch()
        (self.dir / "crlnumber").write_text("01\n")
        (self.dir / "serial").write_text("1000\n")
        (self.dir / "openssl.cnf").write_text(CONFIG.format(dir=self.dir))
        self.key = self._new_key("authority")
        self.pem = self.dir / "authority.pem"
        if parent is None:
            self._run(
                "req", "-x509", "-key", self.key, "-subj", f"/CN={name}", "-days", "30",
                "-out", self.pem, "-config", self.dir / "openssl.cnf", "-extensions", "authority",
            )  # fmt: skip
        else:
            parent.sign(self.key, name, self.pem, "authority")

    @property
    def der(self) -> bytes:
        return to_der(self.pem)

    def _run(self, *arguments: object) -> bytes:
        done = subprocess.run(
            ["openssl", *map(str, arguments)], check=False, capture_output=True, cwd=self.dir
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def _new_key(self, name: str) -> Path:
        path = self.dir / f"{name}.key"
        self._run("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
                  "-out", path)  # fmt: skip
        return path

    def sign(self, key: Path, name: str, out: Path, kind: str, dns: str | None = None) -> None:
        request = self.dir / f"{name}.csr"
        extra = ["-addext", f"subjectAltName=DNS:{dns}"] if dns else []
        config = self.dir / "openssl.cnf"
        self._run("req", "-new", "-key", key, "-subj", f"/CN={name}", "-config", config,
                  "-out", request, *extra)  # fmt: skip
        self._run("ca", "-batch", "-config", config, "-cert", self.pem, "-keyfile", self.key,
                  "-in", request, "-out", out, "-days", "20", "-notext",
                  "-extensions", kind)  # fmt: skip

    def issue(self, name: str, kind: str = "plain") -> Path:
        """Return the PEM file of a certificate for fqdn:NAME; its key is beside it (.key)."""
        out = self.dir / f"{name}.pem"
        self.sign(self._new_key(name), name, out, kind, dns=name)
        return out

    def revoke(self, certificate: Path) -> None:
        self._run("ca", "-config", self.dir / "openssl.cnf", "-cert", self.pem,
                  "-keyfile", self.key, "-revoke", certificate)  # fmt: skip

    def crl(self, *options: object) -> bytes:
        """Return a CRL (DER) as of now; it lasts a day unless the options say otherwise."""
        out = self.dir / "crl.pem"
        how_long = options or ("-crldays", "1")
        self._run("ca", "-config", self.dir / "openssl.cnf", "-cert", self.pem,
                  "-keyfile", self.key, "-gencrl", "-out", out, *how_long)  # fmt: skip
        self._run("crl", "-in", out, "-outform", "DER", "-out", self.dir / "crl.der")
        return (self.dir / "crl.der").read_bytes()

    def ocsp(self, certificate: Path, signer: Path | None = None, *options: object) -> bytes:
        """Return an OCSP response (DER) about a certificate of this CA, good for a day."""
        signer = signer or self.pem
        request, out = self.dir / "request.der", self.dir / "response.der"
        self._run("ocsp", "-issuer", self.pem, "-cert", certificate, "-reqout", request)
        self._run("ocsp", "-index", self.dir / "index.txt", "-CA", self.pem,
                  "-rsigner", signer, "-rkey", signer.with_suffix(".key"), "-reqin", request,
                  "-respout", out, "-ndays", "1", *options)  # fmt: skip
        return out.read_bytes()


def to_der(path: Path) -> bytes:
    """Return the first certificate of a PEM file as DER."""
    return x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)
