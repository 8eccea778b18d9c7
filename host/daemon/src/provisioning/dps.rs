//! Registering with the device provisioning service, which says to which hub a device belongs.
//!
//! Owns one registration from connecting to the assignment, within a time. What is said is pure and in `protocol`.
//! Leaves when to register, and what becomes of an assignment, to [`super::provisioner`].
//!
//! Source: Azure IoT Hub Device Provisioning Service, "Communicate with your DPS using the MQTT protocol".

mod protocol;

use std::time::Duration;

use bytes::Bytes;
use wasm_edge_clock::{sleep, timeout};
use wasm_edge_model::connection_string::HostAddress;
use wasm_edge_model::error::chain;
use wasm_edge_model::shared_access::{self, SharedKey};
use wasm_edge_net::clock::HubClock;
use wasm_edge_net::dial::{DialError, Dialer, Security, WebSocketAt};
use wasm_edge_net::mqtt::{
    ConnectOptions, Connection, Incoming, MqttError, PacketId, Publication, Refusal,
};
use wasm_edge_net::stream::Stream;
use wasm_edge_net::traffic::Counter;
use zeroize::Zeroizing;

use self::protocol::{Answer, Registrant};
pub(super) use self::protocol::{Assigned, key_of_group};
use super::{HTTPS_PORT, MQTT_PORT};
use crate::config::hub::TransportChoice;

/// How long a registration may take: what a slow allocation of an operator's own takes, and then some.
const REGISTRATION_TIME_MAX: Duration = Duration::from_secs(10 * 60);

/// How long the service may take for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a token is good for, as the official SDKs have it.
const TOKEN_LIFE: Duration = Duration::from_secs(60 * 60);

/// After which silence the connection is kept alive, as the SDKs have it.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// The largest packet of the service's: an assignment with what an operator adds to it has some kilobytes.
const INCOMING_MAX_BYTES: usize = 64 * 1024;

/// The largest packet to the service: the token, and ids.
const OUTGOING_MAX_BYTES: usize = 8 * 1024;

/// Where the service speaks MQTT over WebSocket.
const WEBSOCKET: WebSocketAt<'static> = WebSocketAt {
    path: "/$iothub/websocket",
    protocol: "mqtt",
};

/// A registration: who, where, and by which way.
pub(super) struct Registration {
    pub(super) id_scope: String,
    pub(super) registration_id: String,
    /// The registration's own key; none for a certificate, which the dialler shows.
    pub(super) key: Option<SharedKey>,
    /// Where the service is. A port in it is that of whatever carries MQTT.
    pub(super) endpoint: HostAddress,
    pub(super) transport: TransportChoice,
    pub(super) dialer: Dialer,
    pub(super) clock: HubClock,
    pub(super) counter: Counter,
}

/// Why there is no assignment.
#[derive(Debug, thiserror::Error)]
pub(super) enum DpsError {
    /// The service cannot be reached, or cannot do it now.
    #[error("the provisioning service cannot be reached: {cause}")]
    Unreachable { cause: String },
    /// It refuses.
    #[error("the provisioning service refuses: {cause}")]
    Refused { cause: String },
}

impl Registration {
    /// Registers, and waits for the assignment.
    ///
    /// # Errors
    /// [`DpsError`].
    ///
    /// # Cancel safety
    /// The connection is given up; the service may assign all the same, and says so again the next time.
    pub(super) async fn register(&self) -> Result<Assigned, DpsError> {
        let registering = async {
            let stream = self.dial().await?;
            let options = connect_options(&self.registrant(), self.password());
            talk(stream, options, &self.registrant(), &self.counter).await
        };
        let registered = timeout(REGISTRATION_TIME_MAX, registering).await;
        registered.unwrap_or_else(|_| {
            Err(DpsError::Unreachable {
                cause: format!(
                    "it did not come to an assignment within {} s",
                    REGISTRATION_TIME_MAX.as_secs()
                ),
            })
        })
    }

    fn registrant(&self) -> Registrant<'_> {
        Registrant {
            id_scope: &self.id_scope,
            registration_id: &self.registration_id,
        }
    }

    /// Empty for a certificate.
    fn password(&self) -> Zeroizing<String> {
        let end = self.clock.now().after(TOKEN_LIFE);
        let resource = self.registrant().resource();
        let sign = |key| shared_access::sign(key, &resource, end, Some(protocol::POLICY));
        Zeroizing::new(self.key.as_ref().map(sign).unwrap_or_default())
    }

    /// A stream to the service; by WebSocket where that is asked for, or where the usual port does not get through.
    async fn dial(&self) -> Result<Stream, DpsError> {
        let dialled = match self.transport {
            TransportChoice::Mqtt => self.dial_mqtt().await,
            TransportChoice::MqttWs => self.dial_websocket().await,
            TransportChoice::Auto => match self.dial_mqtt().await {
                Err(err) if self.endpoint.port().is_none() && may_be_the_port(&err) => {
                    tracing::info!(
                        err = chain(&err),
                        "trying the provisioning service over WebSocket"
                    );
                    self.dial_websocket().await
                }
                dialled => dialled,
            },
        };
        dialled.map_err(|err| DpsError::Unreachable { cause: chain(&err) })
    }

    async fn dial_mqtt(&self) -> Result<Stream, DialError> {
        let port = self.endpoint.port().unwrap_or(MQTT_PORT);
        let dialling = self
            .dialer
            .dial(&self.endpoint, port, Security::Tls, &self.counter);
        dialling.await
    }

    async fn dial_websocket(&self) -> Result<Stream, DialError> {
        let port = self.endpoint.port().unwrap_or(HTTPS_PORT);
        let dialling = self
            .dialer
            .dial_websocket(&self.endpoint, port, WEBSOCKET, &self.counter);
        dialling.await
    }
}

impl From<MqttError> for DpsError {
    fn from(err: MqttError) -> Self {
        let cause = chain(&err);
        match err {
            MqttError::Refused(Refusal::Unavailable) => Self::Unreachable { cause },
            MqttError::Refused(_) => Self::Refused { cause },
            _ => Self::Unreachable { cause },
        }
    }
}

/// Whether another port may get through.
fn may_be_the_port(err: &DialError) -> bool {
    matches!(
        err,
        DialError::Connect { .. } | DialError::Timeout { .. } | DialError::Proxy { .. }
    )
}

fn connect_options(registrant: &Registrant<'_>, password: Zeroizing<String>) -> ConnectOptions {
    ConnectOptions {
        client_id: registrant.registration_id.to_owned(),
        user_name: registrant.user_name(),
        password,
        clean_session: true,
        keep_alive: KEEP_ALIVE,
        answer_timeout: ANSWER_TIMEOUT,
        incoming_max_bytes: INCOMING_MAX_BYTES,
        outgoing_max_bytes: OUTGOING_MAX_BYTES,
        is_message: |_| false,
    }
}

/// Registers over a stream, and closes it.
async fn talk(
    stream: Stream,
    options: ConnectOptions,
    registrant: &Registrant<'_>,
    counter: &Counter,
) -> Result<Assigned, DpsError> {
    let (connection, _) = Connection::open(stream, options, counter.clone()).await?;
    let mut talk = Talk {
        connection,
        request_id: 0,
    };
    let assigned = talk.register(registrant).await;
    talk.connection.close().await;
    assigned
}

/// A connection to the service.
struct Talk {
    connection: Connection,
    /// That of the last request, and of the packet with it.
    request_id: u16,
}

/// What is asked next.
enum Question {
    Register,
    Status { operation: String },
}

impl Talk {
    async fn register(&mut self, registrant: &Registrant<'_>) -> Result<Assigned, DpsError> {
        self.subscribe().await?;
        let mut question = Question::Register;
        loop {
            match self.ask(registrant, &question).await? {
                Answer::Assigned(assigned) => return Ok(assigned),
                Answer::Refused { cause } => return Err(DpsError::Refused { cause }),
                Answer::Assigning { operation, after } => {
                    question = Question::Status { operation };
                    self.wait(after).await?;
                }
                Answer::Later { after, cause } => {
                    tracing::info!(cause, "the provisioning service wants to be asked later");
                    self.wait(after).await?;
                }
            }
        }
    }

    async fn subscribe(&mut self) -> Result<(), DpsError> {
        let id = self.next_id();
        self.connection.subscribe(id, protocol::ANSWERS, true)?;
        let subscribed = async {
            loop {
                match self.connection.receive().await? {
                    Incoming::Subscribed { granted: true, .. } => return Ok(()),
                    Incoming::Subscribed { granted: false, .. } => {
                        let cause = "it does not let us hear its answers".to_owned();
                        return Err(DpsError::Refused { cause });
                    }
                    _ => {}
                }
            }
        };
        in_time(subscribed).await
    }

    async fn ask(
        &mut self,
        registrant: &Registrant<'_>,
        question: &Question,
    ) -> Result<Answer, DpsError> {
        let id = self.next_id();
        let request_id = u64::from(id.get());
        let (topic, payload) = match question {
            Question::Register => (protocol::register(request_id), registrant.body()),
            // A space, as the SDKs have it: an empty payload may be taken for none.
            Question::Status { operation } => {
                (protocol::status(request_id, operation), b" ".to_vec())
            }
        };
        self.connection.publish(Publication {
            topic,
            payload: Bytes::from(payload),
            id: Some(id),
            duplicate: false,
        })?;
        in_time(self.answer(request_id)).await
    }

    /// The answer to a request; what else comes is passed over.
    async fn answer(&mut self, request_id: u64) -> Result<Answer, DpsError> {
        loop {
            if let Some(heard) = self.hear().await? {
                let answer = protocol::answer(&heard.topic, &heard.payload, request_id);
                if let Some(answer) = answer {
                    return Ok(answer);
                }
            }
        }
    }

    /// Waits, and keeps the connection alive meanwhile.
    async fn wait(&mut self, time: Duration) -> Result<(), DpsError> {
        let listening = async {
            loop {
                if let Err(err) = self.hear().await {
                    return err;
                }
            }
        };
        tokio::select! {
            () = sleep(time) => Ok(()),
            err = listening => Err(err),
        }
    }

    async fn hear(&mut self) -> Result<Option<Publication>, DpsError> {
        let Incoming::Published(heard) = self.connection.receive().await? else {
            return Ok(None);
        };
        if let Some(id) = heard.id {
            self.connection.acknowledge(id)?;
        }
        Ok(Some(heard))
    }

    fn next_id(&mut self) -> PacketId {
        self.request_id = self.request_id.checked_add(1).unwrap_or(1);
        PacketId::new(self.request_id).expect("it begins anew at one")
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, DpsError>>) -> Result<T, DpsError> {
    let done = timeout(ANSWER_TIMEOUT, work).await;
    done.unwrap_or_else(|_| {
        Err(DpsError::Unreachable {
            cause: format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()),
        })
    })
}

#[cfg(test)]
mod tests;
