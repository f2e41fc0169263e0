import assert from 'node:assert/strict'
import { test } from 'node:test'
import { publishedPorts } from './other-namespaces.ts'

test('rules that lead to a port are found in the lists of iptables and nft', () => {
  const rules = [
    '-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80',
    '\t\ttcp dport 8081 dnat to 172.17.0.3:80',
    '\t\ttcp dport 8082 dnat ip to 172.17.0.4:80 comment "x"',
    '\t\ttcp dport 8083 redirect to :80',
    '-A PREROUTING -p tcp -m tcp --dport 8084 -j REDIRECT --to-ports 80',
    '-A PREROUTING -p tcp -m tcp --dport 8085 -j REDIRECT --to-ports 8080',
    '-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT'
  ]
  assert.deepEqual(
    publishedPorts(80, rules).map(({ port, to }) => `${port} ${to}`),
    ['8080 172.17.0.2:80', '8081 172.17.0.3:80', '8082 172.17.0.4:80', '8083 port 80', '8084 port 80']
  )
})
