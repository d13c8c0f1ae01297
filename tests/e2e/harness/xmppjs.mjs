// @xmpp/client as an independent witness: registers if there is a token, then signs in.
// Reads a job from standard input, prints the address it got.

import { client, xml } from "@xmpp/client";
import { text } from "node:stream/consumers";

const { port, name, password, token } = JSON.parse(await text(process.stdin));

async function register(entity) {
  const ask = (payload) => entity.iqCaller.request(xml("iq", { type: "set", to: "localhost" }, payload));
  await ask(xml("preauth", { xmlns: "urn:xmpp:pars:0", token }));
  await ask(
    xml("query", { xmlns: "jabber:iq:register" }, xml("username", {}, name), xml("password", {}, password)),
  );
}

const entity = client({
  service: `xmpp://127.0.0.1:${port}`,
  domain: "localhost",
  // Runs on the encrypted stream, before SASL.
  async credentials(authenticate, mechanisms) {
    if (token) await register(entity);
    await authenticate({ username: name, password }, mechanisms.find((mechanism) => mechanism.startsWith("SCRAM-")));
  },
});
entity.on("error", (error) => {
  console.error(String(error));
  process.exit(1);
});

const address = await entity.start();
console.log(String(address));
await entity.stop();
