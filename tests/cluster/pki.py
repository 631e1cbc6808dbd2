"""The cluster's keys and certificates: one authority, made for one cluster and gone with it.

Node certificates are issued when a node comes, so their number is not fixed beforehand. Nothing here is a secret of value.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.cluster.addresses import API_ADDRESS, API_SERVICE_ADDRESS, API_URL, node_address, node_name
from tests.cluster.layout import Home

Key = ec.EllipticCurvePrivateKey
VALID = datetime.timedelta(days=30)
API_NAMES = (API_ADDRESS, API_SERVICE_ADDRESS, "127.0.0.1", "localhost", "kubernetes.default.svc")


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who shows a certificate: file name, user name, group, and the names a server answers to."""

    file: str
    user: str
    group: str = ""
    names: tuple[str, ...] = ()


CONTROL_PLANE = (
    Identity("apiserver", "kube-apiserver", names=API_NAMES),
    Identity("apiserver-kubelet", "kube-apiserver-kubelet-client", "system:masters"),
    Identity("front-proxy", "front-proxy-client"),
)
CLIENTS = (
    Identity("admin", "admin", "system:masters"),
    Identity("controller-manager", "system:kube-controller-manager"),
    Identity("scheduler", "system:kube-scheduler"),
    Identity("proxy", "system:kube-proxy"),
)


def node_identity(index: int) -> Identity:
    name = node_name(index)
    return Identity(name, f"system:node:{name}", "system:nodes", (node_address(index), name))


def make_pki(home: Home) -> None:
    """Make the authority, the control plane's certificates, the token key, and every client's kubeconfig."""
    home.pki.mkdir(parents=True, exist_ok=True)
    make_authority(home.pki)
    for identity in CONTROL_PLANE:
        issue(home.pki, identity)
    for identity in CLIENTS:
        issue_kubeconfig(home, identity)
    tokens = new_key(home.pki / "tokens.key")
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    (home.pki / "tokens.pub").write_bytes(tokens.public_key().public_bytes(serialization.Encoding.PEM, public))


def issue_kubeconfig(home: Home, identity: Identity) -> None:
    """A certificate and the kubeconfig that carries it, readable by root alone."""
    issue(home.pki, identity)
    encoded = {part: encoded_file(home.pki / part) for part in ("ca.crt", f"{identity.file}.crt", f"{identity.file}.key")}
    text = kubeconfig(encoded["ca.crt"], encoded[f"{identity.file}.crt"], encoded[f"{identity.file}.key"])
    write_private(home.kubeconfig(identity.file), text.encode())


def kubeconfig(authority: str, certificate: str, private_key: str) -> str:
    """The text of a kubeconfig; all three arguments are PEM files in base64."""
    cluster = {"server": API_URL, "certificate-authority-data": authority}
    user = {"client-certificate-data": certificate, "client-key-data": private_key}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "spillway",
        "clusters": [{"name": "spillway", "cluster": cluster}],
        "contexts": [{"name": "spillway", "context": {"cluster": "spillway", "user": "user"}}],
        "users": [{"name": "user", "user": user}],
    }
    return json.dumps(content, indent=1)


# ---- files ------------------------------------------------------------------------------------------------------------


def encoded_file(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()


def write_private(file: Path, data: bytes) -> None:
    file.touch(mode=0o600)
    file.write_bytes(data)


def new_key(file: Path) -> Key:
    made = ec.generate_private_key(ec.SECP256R1())
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    write_private(file, made.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, plain))
    return made


def read_key(file: Path) -> Key:
    loaded = serialization.load_pem_private_key(file.read_bytes(), None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    return loaded


# ---- certificates -----------------------------------------------------------------------------------------------------


def make_authority(pki: Path) -> None:
    private = new_key(pki / "ca.key")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "spillway-test")])
    signer = x509.KeyUsage(True, False, False, False, False, True, True, False, False)  # sign data, certificates, lists
    builder = (
        blank(name, private)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(signer, critical=True)
    )
    write_certificate(pki / "ca.crt", builder.sign(private, hashes.SHA256()))


def issue(pki: Path, identity: Identity) -> None:
    """A key and a certificate signed by the authority, good for both ends of a connection."""
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, identity.user)]
    if identity.group:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, identity.group))
    authority = x509.load_pem_x509_certificate((pki / "ca.crt").read_bytes())
    both_ends = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
    builder = blank(x509.Name(attributes), new_key(pki / f"{identity.file}.key")).issuer_name(authority.subject)
    builder = builder.add_extension(both_ends, critical=False)
    if identity.names:
        builder = builder.add_extension(alternative_names(identity.names), critical=False)
    write_certificate(pki / f"{identity.file}.crt", builder.sign(read_key(pki / "ca.key"), hashes.SHA256()))


def blank(subject: x509.Name, key: Key) -> x509.CertificateBuilder:
    """A certificate without its issuer. It begins an hour ago: clocks of nodes may differ."""
    begins = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def alternative_names(names: Iterable[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([general_name(name) for name in names])


def general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def write_certificate(file: Path, certificate: x509.Certificate) -> None:
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
