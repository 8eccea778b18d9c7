//! Names and numbers: which endpoints, consumers and senders there are, and when their slots are free again.
//!
//! Owns the making and freeing of slots; the movement of messages between them is the parent's. The handles
//! come here when routes are applied, a module arrives or a module leaves.

use std::sync::Arc;

use tokio::sync::Notify;
use wasm_edge_model::identity::ModuleId;
use wasm_edge_model::message::MessageSource;
use wasm_edge_model::route::{Durability, PRIORITY_DEFAULT, WhenFull};

use super::{EndpointId, Mailbox, MailboxId, Routes, State};
use crate::endpoint::Endpoint;
use crate::ledger::{SenderId, SenderState};
use crate::limits::ENDPOINTS_MAX;
use crate::queue::{Loss, Queue};
use crate::table::{NumberedRoute, Path, RouteTable, TableRoute, Target};
use crate::turns::Turns;

impl State {
    /// Swaps the routes. What is stored stays where it is.
    pub(crate) fn apply(&mut self, table: RouteTable) {
        for (_, queue) in self.queues.iter_mut() {
            queue.routed = false;
            queue.drop_empty_lanes();
        }
        let mut routes = Vec::with_capacity(table.routes.len());
        for route in table.routes {
            let target = self.target(&route);
            self.queues[target.endpoint].routed = true;
            let mailbox = self.queues[target.endpoint].mailbox;
            self.mailboxes[mailbox].removed = false;
            routes.push(NumberedRoute {
                source: route.source,
                condition: route.condition,
                target,
            });
        }
        let version = self.routes.version + 1;
        self.routes = Arc::new(Routes {
            version,
            routes,
            time_to_live: table.time_to_live,
        });
        for (_, sender) in self.ledger.senders.iter_mut() {
            sender.junctions.forget();
        }
        self.tidy();
    }

    /// The number of a sender and what marks its handles.
    pub(crate) fn sender(&mut self, module: &ModuleId) -> (SenderId, Arc<()>) {
        let id = match self.sender_ids.get(module) {
            Some(id) => *id,
            None => {
                let id = self.ledger.senders.insert(SenderState::new(module.clone()));
                self.sender_ids.insert(module.clone(), id);
                id
            }
        };
        let sender = &mut self.ledger.senders[id];
        sender.removed = false;
        (id, Arc::clone(&sender.handle))
    }

    /// The mailbox of a consumer that is there now.
    pub(crate) fn inbox(&mut self, module: Option<&ModuleId>) -> (MailboxId, Arc<Notify>) {
        let id = self.mailbox(module);
        let mailbox = &mut self.mailboxes[id];
        mailbox.removed = false;
        (id, Arc::clone(&mailbox.notify))
    }

    /// A path to one endpoint, whatever the routes say.
    ///
    /// # Errors
    /// There are too many endpoints already.
    pub(crate) fn direct(
        &mut self,
        source: MessageSource,
        endpoint: &Endpoint,
    ) -> Result<Path, ()> {
        if !self.queue_ids.contains_key(endpoint) && self.queues.len() >= ENDPOINTS_MAX {
            self.tidy();
            if self.queues.len() >= ENDPOINTS_MAX {
                return Err(());
            }
        }
        let endpoint = self.endpoint(endpoint);
        let target = Target {
            endpoint,
            priority: PRIORITY_DEFAULT,
            time_to_live: self.routes.time_to_live,
            durability: Durability::Process,
            when_full: WhenFull::Refuse,
            notify: self.notify(endpoint),
        };
        Ok(Path::new(source, vec![target]))
    }

    /// Drops what waits for a module and what was put aside; its own messages elsewhere stay.
    pub(crate) fn remove_module(&mut self, module: &ModuleId) {
        if let Some(id) = self.mailbox_ids.get(module) {
            let mailbox = &mut self.mailboxes[*id];
            mailbox.removed = true;
            for endpoint in &mailbox.endpoints {
                let queue = &mut self.queues[*endpoint];
                queue.clear(Loss::Removed, &mut self.ledger);
                queue.clear_aside(&mut self.ledger);
                // A route still waits for a module of this name to come.
                mailbox.removed &= !queue.routed;
            }
        }
        if let Some(id) = self.sender_ids.get(module) {
            self.ledger.senders[*id].removed = true;
        }
        self.tidy();
    }

    fn target(&mut self, route: &TableRoute) -> Target {
        let endpoint = self.endpoint(&route.endpoint);
        Target {
            endpoint,
            priority: route.priority,
            time_to_live: route.time_to_live,
            durability: route.durability,
            when_full: route.when_full,
            notify: self.notify(endpoint),
        }
    }

    fn notify(&self, endpoint: EndpointId) -> Arc<Notify> {
        Arc::clone(&self.mailboxes[self.queues[endpoint].mailbox].notify)
    }

    /// The number of an endpoint, which is made when there is none.
    pub(super) fn endpoint(&mut self, endpoint: &Endpoint) -> EndpointId {
        if let Some(id) = self.queue_ids.get(endpoint) {
            return *id;
        }
        let mailbox = self.mailbox(endpoint.module());
        let id = self.queues.insert(Queue::new(endpoint.clone(), mailbox));
        self.queue_ids.insert(endpoint.clone(), id);
        self.mailboxes[mailbox].endpoints.push(id);
        id
    }

    fn mailbox(&mut self, module: Option<&ModuleId>) -> MailboxId {
        let Some(module) = module else {
            return self.upstream;
        };
        match self.mailbox_ids.get(module) {
            Some(id) => *id,
            None => {
                let id = self.mailboxes.insert(Mailbox::new(Some(module.clone())));
                self.mailbox_ids.insert(module.clone(), id);
                id
            }
        }
    }

    /// Frees the slots that nothing refers to any more: endpoints without route, messages and places,
    /// mailboxes without endpoints and handles, senders that were removed.
    fn tidy(&mut self) {
        let idle = self
            .queues
            .iter()
            .filter(|(_, queue)| !queue.routed && queue.is_idle());
        for id in idle.map(|(id, _)| id).collect::<Vec<_>>() {
            let queue = &self.queues[id];
            self.mailboxes[queue.mailbox]
                .endpoints
                .retain(|other| *other != id);
            self.queue_ids.remove(&queue.endpoint);
            self.queues[id].forget_lanes(None, &self.ledger);
            self.queues.remove(id);
        }
        let over = self
            .mailboxes
            .iter()
            .filter(|(_, mailbox)| mailbox.is_over());
        for id in over.map(|(id, _)| id).collect::<Vec<_>>() {
            if let Some(module) = &self.mailboxes[id].module {
                self.mailbox_ids.remove(module);
                self.mailboxes.remove(id);
            }
        }
        let over = self
            .ledger
            .senders
            .iter()
            .filter(|(_, sender)| sender.is_over());
        for id in over.map(|(id, _)| id).collect::<Vec<_>>() {
            for (_, queue) in self.queues.iter_mut() {
                queue.forget_lanes(Some(id), &self.ledger);
            }
            self.sender_ids.remove(&self.ledger.senders[id].module);
            self.ledger.senders.remove(id);
        }
    }
}

impl Mailbox {
    pub(super) fn new(module: Option<ModuleId>) -> Self {
        Mailbox {
            module,
            endpoints: Vec::new(),
            turns: Turns::default(),
            notify: Arc::new(Notify::new()),
            removed: false,
        }
    }

    /// Whether the slot can be used for another module.
    fn is_over(&self) -> bool {
        self.module.is_some() && self.endpoints.is_empty() && Arc::strong_count(&self.notify) == 1
    }
}
