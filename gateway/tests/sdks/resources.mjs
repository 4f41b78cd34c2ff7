// Reads every resource of the stand-in at the address given as an argument with the SDKs of Together and of OpenAI.
// Together's own upload goes to api.together.xyz whatever its base URL says, so files are created by OpenAI's.
import assert from "node:assert/strict";
import OpenAI, { toFile } from "openai";
import Together from "together-ai";

const baseURL = `${process.argv[2]}/v1`, apiKey = "key";
const openai = new OpenAI({ baseURL, apiKey }), together = new Together({ baseURL, apiKey });
const messages = [{ role: "user", content: "hello" }];

const line = JSON.stringify({ custom_id: "1", body: { model: "m", messages } });
const { id } = await openai.files.create({ file: await toFile(Buffer.from(line), "lines.jsonl"), purpose: "batch" });
for await (const file of openai.files.list()) assert.equal(file.filename, "lines.jsonl");
for (const files of [openai.files, together.files]) {
  assert.equal((await files.retrieve(id)).bytes, line.length);
  assert.equal(await (await files.content(id)).text(), line);
}
assert.equal((await together.files.list()).data[0].id, id);

for (const client of [openai, together]) {
  assert.ok((await client.completions.create({ model: "m", prompt: "a" })).choices.length);
  assert.ok((await client.images.generate({ model: "m", prompt: "a" })).data.length);
}
assert.ok((await together.models.list()).some((model) => model.id === "standin/chat"));

const { job } = await together.batches.create({ input_file_id: id, endpoint: "/v1/chat/completions" });
assert.equal((await together.batches.retrieve(job.id)).id, job.id);
assert.equal((await together.batches.list())[0].id, job.id);
assert.ok((await together.batches.cancel(job.id)).status);

const tune = await together.fineTuning.create({ training_file: id, model: "m" });
assert.equal((await together.fineTuning.retrieve(tune.id)).id, tune.id);
assert.equal((await together.fineTuning.list()).data[0].id, tune.id);
assert.deepEqual((await together.fineTuning.listEvents(tune.id)).data, []);
assert.deepEqual((await together.fineTuning.listCheckpoints(tune.id)).data, []);
assert.ok((await together.fineTuning.cancel(tune.id)).status);
assert.ok((await together.files.delete(id)).deleted);
console.log("ok: resources of the stand-in are read by Node");
