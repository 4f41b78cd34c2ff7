// Calls the gateway at the address given as an argument with the SDKs of Together and of OpenAI.
import assert from "node:assert/strict";
import OpenAI from "openai";
import Together from "together-ai";

const url = process.argv[2], apiKey = "token-of-tom";
const messages = [{ role: "user", content: "hello" }];
for (const client of [
  new OpenAI({ baseURL: `${url}/v1`, apiKey }),
  new Together({ baseURL: `${url}/v1`, apiKey }),
]) {
  const whole = await client.chat.completions.create({ model: "m", messages });
  assert.match(whole.choices[0].message.content, /stand-in/);
  let text = "";
  for await (const chunk of await client.chat.completions.create({ model: "m", messages, stream: true })) {
    text += chunk.choices[0]?.delta?.content ?? "";
  }
  assert.match(text, /stand-in/);
  const vectors = await client.embeddings.create({ model: "m", input: ["a", "b"] });
  assert.equal(vectors.data.length, 2);
}
