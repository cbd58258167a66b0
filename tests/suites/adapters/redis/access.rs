//! Ways into a server: URLs, logins, rights, TLS, sockets.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use jetcache_adapters::{Raw, Redis, contract};
use jetcache_core::{Bus, Cached, Fault, Reach, Remote};
use jetcache_tests::redis_server::RedisServer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::adapters::verbs::{MINUTE, T, claim, contract_on_tokio, lease, many, read};

#[test]
fn what_is_no_redis_url_is_refused_in_words() {
    for url in [
        "",
        "localhost",
        "http://localhost",
        "redis://",
        "redis://host/x",
        "redis://:pw@",
    ] {
        let error = Redis::open(url).unwrap_err().to_string();
        assert!(
            error.contains("redis://user:password@host:6379/0"),
            "{url}: {error}"
        );
        assert!(!error.contains("pw"), "{url}: {error}");
    }
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let builder = || Redis::builder("redis://localhost");
    assert!(builder().connections(0).open().is_err());
    assert!(builder().client_name("two words").open().is_err());
    assert!(
        builder()
            .connect_timeout(std::time::Duration::ZERO)
            .open()
            .is_err()
    );
    assert!(builder().authorities("").open().is_err());
    let tls = || Redis::builder("rediss://localhost");
    assert!(tls().authorities("nothing").open().is_err());
    assert!(tls().identity("nothing", "nothing").open().is_err());
}

#[test]
fn nothing_shows_the_password() {
    let builder = Redis::builder("redis://user:secret@localhost");
    assert!(!format!("{builder:?}").contains("secret"));
    assert!(!format!("{:?}", builder.open().unwrap()).contains("secret"));
}

#[test]
fn a_database_is_selected() {
    let server = RedisServer::start();
    let redis = Redis::open(&format!("{}/3", server.url())).unwrap();
    assert!(many().block_on(claim(&redis, "ns:k", T)).unwrap());
    assert_eq!(server.cli(&["-n", "3", "DBSIZE"]), "1");
    assert_eq!(server.cli(&["DBSIZE"]), "0");
}

#[test]
fn a_unix_socket_is_a_way_in() {
    let server = RedisServer::start_with(&["--unixsocket", "{dir}/socket"]);
    let socket = server.folder().join("socket");
    let redis = Redis::open(&format!("redis+unix://{}?db=2", socket.display())).unwrap();
    contract_on_tokio(&redis);
    assert_ne!(server.cli(&["-n", "2", "DBSIZE"]), "0");
    assert!(smol::block_on(claim(&redis, "ns:k", T)).unwrap());
}

#[test]
fn a_password_opens_and_its_lack_is_a_fault() {
    let server = RedisServer::start_with(&["--requirepass", "secret"]);
    let at = |login: &str| Redis::open(&server.url().replace("//", &format!("//{login}"))).unwrap();
    let runtime = many();
    assert!(runtime.block_on(claim(&at(":secret@"), "ns:k", T)).unwrap());
    for login in ["", ":wrong@", "nobody:secret@"] {
        let fault = runtime.block_on(claim(&at(login), "ns:k", T)).unwrap_err();
        assert!(matches!(fault, Fault::Refused(_)), "{login}: {fault}");
        let fault = runtime.block_on(read(&at(login), "ns:k")).unwrap_err();
        assert!(matches!(fault, Fault::Refused(_)), "{login}: {fault}");
    }
}

/// What the user can mend is said, to the calls and to both buses alike.
#[test]
fn what_keeps_a_login_out_is_said() {
    let server = RedisServer::start();
    for (user, rights) in [("app", "+@all"), ("narrow", "-select")] {
        let command = [
            "ACL",
            "SETUSER",
            user,
            "on",
            ">pw",
            "allkeys",
            "allchannels",
        ];
        assert_eq!(server.cli(&command), "OK");
        assert_eq!(server.cli(&["ACL", "SETUSER", user, "+@all", rights]), "OK");
    }
    let protected = RedisServer::start_with(&["--requirepass", "secret"]);
    let (server, protected) = (server.url(), protected.url());
    many().block_on(async {
        for (url, login, words) in [
            (&server, "app:wrong@", "wrong user or password (user `app`)"),
            (
                &server,
                "nobody:pw@",
                "wrong user or password (user `nobody`)",
            ),
            (
                &protected,
                ":wrong@",
                "wrong user or password (the default user)",
            ),
            (
                &protected,
                "",
                "the server wants a password and the URL has none",
            ),
            (
                &server,
                "app:pw@/99",
                "does not let user `app` have database 99",
            ),
            (&server, "narrow:pw@/1", "+select"),
        ] {
            let (login, database) = login.split_once('/').unwrap_or((login, "0"));
            let url = format!("{}/{database}", url.replace("//", &format!("//{login}")));
            let redis = Redis::open(&url).unwrap();
            let faults = [
                read(&redis, "ns:k").await.map(drop),
                claim(&redis, "ns:k", T).await.map(drop),
                redis.pubsub("shop").subscribe(&[]).await.map(drop),
                redis.tracking().subscribe(&[]).await.map(drop),
            ];
            for fault in faults {
                let Err(Fault::Refused(why)) = fault else {
                    panic!("{url}: {fault:?}");
                };
                assert!(why.contains(words), "{url}: {why}");
                assert!(!why.contains("publish"), "{url}: {why}");
                assert!(!why.contains("secret") && !why.contains(":pw"), "{why}");
            }
        }
    });
}

/// An impostor that greets with `hello`, knows no `SET` with `NX` and `GET`, and finds nothing.
fn old_server(hello: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut buffer = [0; 10_000];
                while let Ok(len @ 1..) = stream.read(&mut buffer) {
                    let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
                    for command in text.split('*').skip(1) {
                        let name = command.split("\r\n").nth(2).unwrap();
                        let answer = match name {
                            "HELLO" => hello,
                            "SET" => "-ERR syntax error\r\n",
                            "MGET" => "*1\r\n_\r\n",
                            "TIME" => "*2\r\n$1\r\n1\r\n$1\r\n1\r\n",
                            _ => "+OK\r\n",
                        };
                        stream.write_all(answer.as_bytes()).unwrap();
                    }
                }
            });
        }
    });
    url
}

#[test]
fn a_server_that_is_too_old_is_named() {
    let six = "%3\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n6.2.14\r\n\
               $5\r\nproto\r\n:3\r\n";
    let five = "-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n";
    for (hello, words) in [
        (six, "redis 6.2.14 is too old"),
        (five, "this server, which does not know HELLO, is too old"),
    ] {
        let redis = Redis::open(&old_server(hello)).unwrap();
        many().block_on(async {
            for fault in [
                read(&redis, "ns:k").await.map(drop),
                claim(&redis, "ns:k", T).await.map(drop),
                redis.tracking().subscribe(&[]).await.map(drop),
            ] {
                let Err(Fault::Refused(why)) = fault else {
                    panic!("{fault:?}");
                };
                assert!(why.contains(words) && why.contains("Redis 7.0"), "{why}");
            }
        });
    }
    // One that does not say how old it is gives itself away.
    let redis = Redis::open(&old_server("+OK\r\n")).unwrap();
    many().block_on(async {
        assert!(read(&redis, "ns:k").await.unwrap().is_none());
        let refused = lease(&redis, "ns:k", T).await.unwrap_err().to_string();
        assert!(refused.contains("too old: Redis 7.0"), "{refused}");
        let refused = redis.lock("ns:k_#RL#", T, MINUTE).await.unwrap_err();
        assert!(
            refused.to_string().contains("too old: Redis 7.0"),
            "{refused}"
        );
    });
}

/// The rights are exactly those that the docs of `Redis` name.
#[test]
fn the_documented_rights_are_enough() {
    let server = RedisServer::start();
    let rights = "on >pw resetkeys ~contract:* ~{contract:* ~{*}contract:* resetchannels -@all \
                  +mget +get +set +del +pttl +time +getrange +setrange +evalsha +multi +exec \
                  +zadd +zrange +zrem +zscore +pexpiretime +pexpire +script|load +select +client|setname";
    let mut command = vec!["ACL", "SETUSER", "app"];
    command.extend(rights.split_whitespace());
    assert_eq!(server.cli(&command), "OK");
    let url = |db: &str| format!("{}{db}", server.url().replace("//", "//app:pw@"));
    contract_on_tokio(&Redis::open(&url("/1")).unwrap());
    assert_eq!(server.cli(&["ACL", "LOG", "1"]), "", "nothing was denied");

    // Only the name, the database, when a value goes and its extension can be done without.
    assert_eq!(
        server.cli(&[
            "ACL",
            "SETUSER",
            "app",
            "-select",
            "-client|setname",
            "-pexpiretime",
            "-pexpire"
        ]),
        "OK"
    );
    contract_on_tokio(&Redis::open(&url("")).unwrap());
    for right in [
        "mget", "get", "set", "del", "pttl", "time", "getrange", "setrange", "evalsha", "multi",
        "exec", "zadd", "zrange", "zrem", "zscore",
    ] {
        assert_eq!(
            server.cli(&["ACL", "SETUSER", "app", &format!("-{right}")]),
            "OK"
        );
        let redis = Redis::open(&url("")).unwrap();
        let missed = std::panic::catch_unwind(|| contract_on_tokio(&redis));
        assert!(missed.is_err(), "{right} is not needed");
        assert_eq!(
            server.cli(&["ACL", "SETUSER", "app", &format!("+{right}")]),
            "OK"
        );
    }
}

#[test]
fn a_key_outside_the_rights_is_a_fault() {
    let server = RedisServer::start();
    let user = [
        "ACL", "SETUSER", "app", "on", ">pw", "~ns:*", "~{ns:*", "+@all",
    ];
    assert_eq!(server.cli(&user), "OK");
    let redis = Redis::open(&server.url().replace("//", "//app:pw@")).unwrap();
    many().block_on(async {
        assert!(claim(&redis, "ns:k", T).await.unwrap());
        assert!(matches!(
            claim(&redis, "other:k", T).await,
            Err(Fault::Refused(_))
        ));
        assert!(matches!(
            read(&redis, "other:k").await,
            Err(Fault::Refused(_))
        ));
    });
}

/// What another process lacks comes back then: the right is documented as one for this.
#[test]
fn without_the_right_to_info_all_works_but_another_process_is_not_recognised() {
    for (right, seen) in [("+info", 1), ("-info", 0)] {
        let mut server = RedisServer::start();
        let user = ["ACL", "SETUSER", "default", "+@all", right];
        assert_eq!(server.cli(&user), "OK");
        many().block_on(async {
            let redis = Redis::open(&server.url()).unwrap();
            let node = jetcache_tokio::node().remote(redis);
            let cache = node.cache::<u64, String>("ns", Raw).no_local();
            let cache = cache.build().unwrap();
            let reach = cache.insert(7, "old".into()).await.unwrap();
            assert_eq!(reach, Reach::Everywhere);
            assert_eq!(server.cli(&["SAVE"]), "OK");
            cache.invalidate(&7).await;
            server.restart();
            assert_eq!(server.cli(&user), "OK");
            let found = cache.get(&7).await;
            let back = Cached::Hit("old".to_owned());
            assert_eq!(found == back, seen == 0, "{right}: {found:?}");
            assert_eq!(cache.stats().failovers, seen, "{right}");
        });
    }
}

#[test]
fn a_client_of_the_users_own_is_taken() {
    let server = RedisServer::start();
    let client = redis::Client::open(format!("{}/5", server.url())).unwrap();
    let redis = Redis::from_client(&client).unwrap();
    contract_on_tokio(&redis);
    assert_ne!(server.cli(&["-n", "5", "DBSIZE"]), "0");
}

#[test]
fn tls_is_spoken_with_authorities_of_ones_own() {
    let pki = Pki::new();
    let server = RedisServer::start();
    let folder = server.folder();
    fs::write(folder.join("ca.pem"), &pki.authority).unwrap();
    fs::write(folder.join("cert.pem"), &pki.server.0).unwrap();
    fs::write(folder.join("key.pem"), &pki.server.1).unwrap();
    // A server with certificates, and with clients that need theirs.
    let set = |name: &str, value: &str| {
        assert_eq!(server.cli(&["CONFIG", "SET", name, value]), "OK", "{name}");
    };
    set("tls-ca-cert-file", "ca.pem");
    let files = [
        "CONFIG",
        "SET",
        "tls-cert-file",
        "cert.pem",
        "tls-key-file",
        "key.pem",
    ];
    assert_eq!(server.cli(&files), "OK");
    set("tls-auth-clients", "no");
    let port = RedisServer::start().port();
    set("tls-port", &port.to_string());

    let url = format!("rediss://localhost:{port}");
    let redis = Redis::builder(&url)
        .authorities(pki.authority.clone())
        .open()
        .unwrap();
    contract_on_tokio(&redis);
    smol::block_on(contract::remote::run(&redis, async |span| {
        smol::Timer::after(span).await;
    }));

    let runtime = many();
    let stranger = Redis::open(&url).unwrap();
    let fault = runtime.block_on(read(&stranger, "ns:k")).unwrap_err();
    assert!(matches!(fault, Fault::Unreachable(_)), "{fault}");

    set("tls-auth-clients", "yes");
    let redis = || Redis::builder(&url).authorities(pki.authority.clone());
    assert!(
        runtime
            .block_on(read(&redis().open().unwrap(), "ns:k"))
            .is_err()
    );
    let (chain, key) = pki.client;
    let known = redis().identity(chain, key).open().unwrap();
    assert!(runtime.block_on(claim(&known, "ns:k", T)).unwrap());
}

/// PEM texts: an authority, and what it signed.
pub(crate) struct Pki {
    pub(crate) authority: String,
    pub(crate) server: (String, String),
    client: (String, String),
}

impl Pki {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // OpenSSL takes a certificate that is named like its issuer for self-signed.
        params
            .distinguished_name
            .push(DnType::CommonName, "authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let signed = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let key = KeyPair::generate().unwrap();
            let certificate = CertificateParams::new(names)
                .unwrap()
                .signed_by(&key, &issuer)
                .unwrap();
            (certificate.pem(), key.serialize_pem())
        };
        Self {
            authority: issuer.pem(),
            server: signed(&["localhost", "127.0.0.1"]),
            client: signed(&["app"]),
        }
    }
}
