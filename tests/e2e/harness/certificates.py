"""A certificate authority for one test directory, and certificates made by it."""

import subprocess

CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


class Certificates:
    def __init__(self, directory):
        directory.mkdir(parents=True)
        self.directory = directory
        self.authority = directory / "ca.pem"
        self.certificate = directory / "localhost.crt"
        self.key = directory / "localhost.key"
        self._authority_key = directory / "ca.key"
        self._openssl(
            "req",
            "-x509",
            *CURVE,
            "-days",
            "2",
            "-subj",
            "/CN=Test authority",
            "-addext",
            "keyUsage=critical,keyCertSign",
            "-keyout",
            self._authority_key,
            "-out",
            self.authority,
        )
        self.issue(["DNS:localhost", "DNS:other.localhost", "IP:127.0.0.1"], self.certificate, self.key)

    def issue(self, names, certificate, key, days=2):
        """A new certificate with these alternative names, and its key, in these files; it ends in so many days."""
        request, extensions = self.directory / "request", self.directory / "extensions"
        extensions.write_text(f"basicConstraints=critical,CA:FALSE\nsubjectAltName={','.join(names)}\n")
        certificate.parent.mkdir(parents=True, exist_ok=True)
        self._openssl("req", *CURVE, "-subj", "/CN=Test", "-keyout", key, "-out", request)
        self._openssl(
            "x509",
            "-req",
            "-in",
            request,
            "-days",
            days,
            "-CA",
            self.authority,
            "-CAkey",
            self._authority_key,
            "-CAcreateserial",
            "-extfile",
            extensions,
            "-out",
            certificate,
        )

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, cwd=self.directory)
