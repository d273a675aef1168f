// SPDX-License-Identifier: Apache-2.0

package chaos

import "syscall"

// terminate is how service managers end a process.
const terminate = syscall.SIGTERM
