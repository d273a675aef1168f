// SPDX-License-Identifier: Apache-2.0
// Every dialog, drawer and menu on a phone; see overlays.mjs.
import { test } from 'node:test'
import { overlaysAt, phoneMenu } from './overlays.mjs'

overlaysAt(390)
test('the menu of a phone is a drawer', phoneMenu)
