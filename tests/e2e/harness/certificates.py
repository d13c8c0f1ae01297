"""A certificate authority for one test directory, and a certificate for localhost and other.localhost made by it."""

import subprocess


class Certificates:
    def __init__(self, directory):
        directory.mkdir(parents=True)
        self.directory = directory
        self.authority = directory / "ca.pem"
        self.certificate = directory / "localhost.crt"
        self.key = directory / "localhost.key"
        authority_key = directory / "ca.key"
        request = directory / "localhost.csr"
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        self._openssl(
            "req",
            "-x509",
            *curve,
            "-days",
            "2",
            "-subj",
            "/CN=Test authority",
            "-addext",
            "keyUsage=critical,keyCertSign",
            "-keyout",
            authority_key,
            "-out",
            self.authority,
        )
        self._openssl("req", *curve, "-subj", "/CN=localhost", "-keyout", self.key, "-out", request)
        extensions = directory / "extensions"
        extensions.write_text("basicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:localhost,DNS:other.localhost,IP:127.0.0.1\n")
        self._openssl(
            "x509",
            "-req",
            "-in",
            request,
            "-days",
            "2",
            "-CA",
            self.authority,
            "-CAkey",
            authority_key,
            "-CAcreateserial",
            "-extfile",
            extensions,
            "-out",
            self.certificate,
        )

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, cwd=self.directory)
