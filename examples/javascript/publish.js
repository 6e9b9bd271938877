// Publishes results to testbus with a plain AMQP client: no testbus is installed here, only `npm install` beside this file.
//
//   TESTBUS_URL=amqps://user:password@host/vhost TESTBUS_PROJECT=shop node publish.js
//
// The messages are CloudEvents 1.0 in structured JSON; their JSON Schemas are in schemas/testbus_schemas/json_schemas.
// Three rules make it right: a producer numbers its events 1, 2, 3, … without a gap; its last event says how many there
// were; and an event that is sent again keeps its id, so that a repetition changes nothing.

'use strict';

const { randomUUID } = require('node:crypto');
const { hostname } = require('node:os');
const amqp = require('amqplib');

const project = process.env.TESTBUS_PROJECT || 'shop';
const run = process.env.TESTBUS_RUN_ID || randomUUID();
const producer = randomUUID();

// In every event: the run that it belongs to. Only these three are required; see RunContext for the others.
const context = { project, run, started_at: new Date().toISOString() };

let sequence = 0;

/** Returns one message: `name` is the event's short name, `fields` are what this type of event says. */
function event(name, fields) {
  sequence += 1;
  return {
    specversion: '1.0',
    id: `${producer}-${sequence}`,
    source: `/testbus/producers/${producer}`,
    type: `io.testbus.${name}`,
    time: new Date().toISOString(),
    subject: run,
    datacontenttype: 'application/json',
    dataschema: `urn:testbus:${name}:1`,
    data: { context, producer: { id: producer, sequence }, ...fields },
  };
}

/** Returns what a small test runner would have found: at most 200 results, and 256 KiB of them, go into one event. */
function results() {
  return [
    { node_id: 'cart > adds', outcome: 'passed', duration_s: 0.012 },
    {
      node_id: 'cart > totals',
      outcome: 'failed',
      duration_s: 0.034,
      failures: [{ type: 'AssertionError', message: 'expected 12 to equal 13', text: 'at cart.js:7' }],
    },
  ];
}

async function main() {
  const recorded = results();
  const events = [
    event('producer.started', { tool: 'javascript', tool_version: process.version, host: hostname() }),
    event('results.recorded', { results: recorded }),
  ];
  // This event is counted, too.
  events.push(event('producer.finished', { events: sequence + 1, status: 'finished', reported: recorded.length }));

  const connection = await amqp.connect(process.env.TESTBUS_URL || 'amqp://guest:guest@127.0.0.1:5672/');
  try {
    const channel = await connection.createConfirmChannel();
    for (const one of events) {
      const key = `${one.type.slice('io.testbus.'.length)}.${project}`;
      channel.publish('testbus.events', key, Buffer.from(JSON.stringify(one)), {
        contentType: 'application/cloudevents+json',
        messageId: one.id,
        persistent: true,
      });
    }
    // Until the broker has confirmed, nothing is safe.
    await channel.waitForConfirms();
    await channel.close();
  } finally {
    await connection.close();
  }
  console.log(`${recorded.length} results in ${events.length} events sent · run ${run}`);
}

main().catch((error) => {
  console.error(`not published: ${error.message}`);
  process.exitCode = 1;
});
