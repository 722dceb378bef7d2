// A WebSocket server of Node's `ws`, and a client that reaches it through the gateway.
// Arguments: `serve`, or `call` and the gateway's address.
import { createRequire } from 'node:module'
import { strict as assert } from 'node:assert'

const { WebSocket, WebSocketServer } = createRequire(process.env.CLIENTS + '/')('ws')

if (process.argv[2] === 'serve') {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: true }, () =>
    console.log(server.address().port),
  )
  server.on('connection', (socket) => {
    // Sent at once, often with the answer itself.
    socket.send('welcome')
    socket.on('message', (data, binary) => socket.send(data, { binary }))
  })
} else {
  const open = () =>
    new WebSocket(`ws://${process.argv[3]}/chat?room=1`, ['v1'], { headers: { Host: 'chat' } })
  const echoed = (socket, data) =>
    new Promise((resolve) => {
      socket.once('message', (back) => resolve(back))
      socket.send(data)
    })
  const one = async (number) => {
    const socket = open()
    const welcome = new Promise((resolve) => socket.once('message', resolve))
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
    assert.equal(socket.protocol, 'v1')
    assert.equal((await welcome).toString(), 'welcome')
    assert.equal((await echoed(socket, `text ${number}`)).toString(), `text ${number}`)
    const large = Buffer.alloc(300_000, number)
    assert.deepEqual(await echoed(socket, large), large)
    const pong = new Promise((resolve) => socket.once('pong', resolve))
    socket.ping('there?')
    assert.equal((await pong).toString(), 'there?')
    const closed = new Promise((resolve) => socket.once('close', (code, reason) => resolve([code, `${reason}`])))
    socket.close(4001, 'enough')
    assert.deepEqual(await closed, [4001, 'enough'])
  }
  await Promise.all(Array.from({ length: 20 }, (_, number) => one(number)))
  console.log('ok')
}
