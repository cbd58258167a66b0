//! The codecs keep their contract.

#[path = "codecs/carried.rs"]
mod carried;

use std::collections::BTreeMap;
use std::sync::Arc;

use jetcache_adapters::{Json, MessagePack, Postcard, Raw, contract};
use jetcache_core::Codec;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
    email: Option<String>,
    roles: Vec<Role>,
    notes: BTreeMap<String, i32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Role {
    Admin,
    Guest { since: u32 },
}

fn users() -> Vec<Arc<User>> {
    let full = User {
        id: u64::MAX,
        name: "ä b".into(),
        email: Some("a@b".into()),
        roles: vec![Role::Admin, Role::Guest { since: 7 }],
        notes: [("x".to_owned(), -1)].into(),
    };
    vec![Arc::new(User::default()), Arc::new(full)]
}

#[test]
fn the_codecs_keep_the_contract() {
    contract::codec::run(&MessagePack, &users());
    contract::codec::run(&Json, &users());
    contract::codec::run(&Postcard, &users());
    contract::codec::run(&MessagePack, &[None, Some(1.5_f64)]);
    contract::codec::run(&Json, &[None, Some(1.5_f64)]);
    contract::codec::run(&Postcard, &[None, Some(1.5_f64)]);
}

#[test]
fn raw_keeps_the_contract() {
    let texts = ["", "a", "ä b\0"];
    contract::codec::run(&Raw, &texts.map(String::from));
    contract::codec::run(&Raw, &texts.map(Box::<str>::from));
    contract::codec::run(&Raw, &texts.map(Arc::<str>::from));
    contract::codec::run(&Raw, &texts.map(|text| Arc::new(text.to_owned())));
    contract::codec::run(&Raw, &texts.map(|text| text.as_bytes().to_vec()));
    contract::codec::run(&Raw, &texts.map(|text| Arc::new(text.as_bytes().to_vec())));
    contract::codec::run(&Raw, &texts.map(|text| Box::<[u8]>::from(text.as_bytes())));
    contract::codec::run(&Raw, &texts.map(|text| Arc::<[u8]>::from(text.as_bytes())));
}

#[test]
fn the_numbers_in_the_header_differ() {
    let ids = [
        Codec::<String>::id(&MessagePack),
        Codec::<String>::id(&Json),
        Codec::<String>::id(&Postcard),
        Codec::<String>::id(&Raw),
    ];
    assert_eq!(ids, [1, 2, 3, 4]);
}

#[test]
fn a_struct_may_gain_and_lose_fields() {
    #[derive(Serialize, Deserialize)]
    struct Old {
        name: String,
        gone: u32,
    }
    #[derive(Serialize, Deserialize)]
    struct New {
        #[serde(default)]
        came: bool,
        name: String,
    }
    fn passes(codec: impl Codec<Old> + Codec<New>) {
        let mut bytes = Vec::new();
        codec
            .encode(
                &Old {
                    name: "n".into(),
                    gone: 1,
                },
                &mut bytes,
            )
            .unwrap();
        let new: New = codec.decode(&bytes).unwrap();
        assert!(new.name == "n" && !new.came);
    }
    passes(MessagePack);
    passes(Json);
}
