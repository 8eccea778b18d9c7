use wasm_edge_sdk::{Message, Outgoing, Result, log, module};

#[derive(Default)]
struct Hello {
    greeted: u32,
}

#[module]
impl Hello {
    fn message(&mut self, message: &Message) -> Result {
        self.greeted += 1;
        let name = message.text()?;
        log::info!("greeting {name}, number {}", self.greeted);
        Outgoing::text(format!("Hello, {name}!")).send("greetings")?;
        Ok(())
    }
}
