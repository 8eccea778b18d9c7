//! A hub with identities, at whose doors one knocks.

use serde_json::{Value, json};

use super::request::Request;
use super::{Door, Doors, Knock, Outcome};
use crate::home::Home;
use crate::hub::{HubOptions, HubServe};
use crate::tokens::{Token, encode};

/// A hub with devices whose ids are alike, and modules.
#[derive(Debug)]
pub struct Bed<'a> {
    /// The hub.
    pub hub: HubServe<'a>,
    /// Its doors.
    pub doors: Doors,
}

impl<'a> Bed<'a> {
    /// Starts a hub and makes the identities.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(home: &'a Home, options: HubOptions) -> Self {
        let hub = options.start(home);
        let doors = Doors::of(&hub);
        let bed = Self { hub, doors };
        for device in ["d1", "d10", "D2", "d+1", "d%2F1"] {
            bed.make(
                &format!("/devices/{}", encode(device)),
                &json!({ "capabilities": { "iotEdge": true } }),
            );
        }
        for module in ["d1/modules/m", "d1/modules/m2", "d10/modules/m"] {
            bed.make(&format!("/devices/{module}"), &json!({}));
        }
        bed
    }

    /// Makes an identity over the control socket.
    ///
    /// # Panics
    /// When it is refused.
    pub fn make(&self, path: &str, body: &Value) {
        let answer = self.hub.ask("PUT", path, Some(body));
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }

    /// Changes an identity over HTTPS: what it is becomes what `change` makes of it.
    ///
    /// # Panics
    /// When it is refused.
    pub fn change(&self, path: &str, change: impl FnOnce(&mut Value)) {
        let mut identity = self.hub.get(path);
        change(&mut identity);
        let string = self.hub.connection_string("iothubowner");
        let key = string.split_once("SharedAccessKey=").unwrap().1;
        let token = Token::new(key, "localhost").of_policy("iothubowner").text();
        let request = Request::new("PUT", path)
            .header("If-Match", "*")
            .header("Authorization", &token)
            .body(identity);
        let (status, said) = self.doors.ask(&request, None);
        assert_eq!(status, 200, "{path}: {said}");
    }

    /// Deletes an identity over the control socket.
    ///
    /// # Panics
    /// When it is refused.
    pub fn delete(&self, path: &str) {
        let answer = self.hub.ask("DELETE", path, None);
        assert_eq!(answer.status, 204, "{path}: {answer:?}");
    }

    /// The primary or secondary key of an identity.
    ///
    /// # Panics
    /// When it has none.
    pub fn key(&self, path: &str, which: &str) -> String {
        let identity = self.hub.get(path);
        let key = &identity["authentication"]["symmetricKey"][which];
        key.as_str()
            .unwrap_or_else(|| panic!("{path}: {identity}"))
            .to_owned()
    }

    /// A good token of a device or module.
    ///
    /// # Panics
    /// When there is no such identity.
    pub fn token(&self, path: &str) -> Token {
        Token::new(&self.key(path, "primaryKey"), &format!("localhost{path}"))
    }

    /// The primary key of a shared access policy.
    ///
    /// # Panics
    /// When there is none.
    pub fn policy(&self, name: &str) -> String {
        let policies = self.hub.get("/wasm-edge/v1/access-policies");
        let policy = policies
            .as_array()
            .unwrap()
            .iter()
            .find(|policy| policy["name"] == name);
        policy.unwrap()["primaryKey"].as_str().unwrap().to_owned()
    }

    /// Gets in at all these doors.
    ///
    /// # Panics
    /// When it is refused.
    pub fn let_in(&self, doors: &[Door], what: &str, knock: &Knock<'_>) {
        for door in doors {
            let outcome = self.doors.knock(*door, knock);
            assert_eq!(outcome, Outcome::LetIn, "{what} over {door:?}: {knock:?}");
        }
    }

    /// Is refused at all these doors; answers what the hub said at each.
    ///
    /// # Panics
    /// When it is let in.
    pub fn refused(&self, doors: &[Door], what: &str, knock: &Knock<'_>) -> Vec<String> {
        let said = doors
            .iter()
            .map(|door| match self.doors.knock(*door, knock) {
                Outcome::Refused(said) => said,
                Outcome::LetIn => panic!("{what} got in over {door:?}: {knock:?}"),
            });
        said.collect()
    }
}
