//! Redis behind TLS, with an authority of one's own.

use std::fs;

use jetcache_tests::redis_server::RedisServer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::json;

use super::process::{Node, RUNTIMES};

#[test]
fn tls_is_spoken_with_an_authority_of_ones_own() {
    let server = RedisServer::start();
    let url = speak_tls(&server);
    let authority = server.folder().join("ca.pem");
    for runtime in RUNTIMES {
        let node =
            |more: &[&str]| Node::start(&[&["--runtime", runtime, "--redis", &url], more].concat());
        let mut trusting = node(&["--ca", authority.to_str().unwrap(), "--namespace", runtime]);
        assert_eq!(
            trusting.ask("set k a 1"),
            json!({"everywhere": true, "reach": "everywhere"})
        );
        assert_eq!(trusting.ask("with skip-local get k")["outcome"], "hit");
        assert_eq!(trusting.count("remote_faults"), 0);
        let mut distrusting = node(&[]);
        assert_eq!(distrusting.ask("load k a 1")["loaded"], true);
        assert_eq!(
            distrusting.ask("set k a 1"),
            json!({"everywhere": false, "reach": "pending"})
        );
        assert_ne!(distrusting.count("remote_faults"), 0);
    }
}

/// Gives the server a certificate and a port for TLS; answers the URL.
fn speak_tls(server: &RedisServer) -> String {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // OpenSSL takes what is named like its issuer for signed by itself.
    params
        .distinguished_name
        .push(DnType::CommonName, "authority");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = CertificateParams::new(vec!["localhost".into()]).unwrap();
    let certificate = names.signed_by(&key, &authority).unwrap();
    let folder = server.folder();
    fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
    fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();

    // A port that was free a moment ago.
    let port = RedisServer::start().port().to_string();
    for settings in [
        &["tls-cert-file", "cert.pem", "tls-key-file", "key.pem"][..],
        &["tls-auth-clients", "no"],
        &["tls-port", &port],
    ] {
        let command = [&["CONFIG", "SET"], settings].concat();
        assert_eq!(server.cli(&command), "OK", "{settings:?}");
    }
    format!("rediss://localhost:{port}")
}
