// SPDX-License-Identifier: Apache-2.0
// Every dialog, drawer and menu on a wide screen; see overlays.mjs.
import { overlaysAt } from './overlays.mjs'

overlaysAt(1280)
