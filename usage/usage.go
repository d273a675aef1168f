// SPDX-License-Identifier: Apache-2.0

// Package usage counts what was used: requests, their outcomes, tokens, money and
// time, in all and by model, Gemini key and user key, and keeps a [Log] of the
// requests. It knows what Google charges, too: see [Prices].
//
// A [Ledger] takes one [Record] per finished request. Every 100 ms the records that
// are new become rows of the log in the store, so a crash loses no more. Sums are
// made of them in memory: of the running minute, hour and day. When a minute, hour
// or day is over, its sums are written, in binary, with a mark that says up to
// which row of the log they go; a start adds up again what came after it. So at any
// moment the store has each request exactly once, in the sums and in the log.
//
//	usage/m|h|d/<number>                          a minute, hour or day: all, models, failures
//	usage/n/m|h|d/<number>/<dimension><shard>     its sums by Gemini key, user key, user key and model
//	usage/sum, usage/sum/names/<dimension>        hours that are over, since the beginning
//	usage/mark                                    how far all this goes
//
// Minutes are kept for a day, hours for 30 days, days for 400.
package usage
