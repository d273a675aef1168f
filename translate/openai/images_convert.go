// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/jpeg"
	"image/png"
)

// maxPixels bounds what is decoded: 4K of any ratio has less.
const maxPixels = 64 << 20

// convert makes a picture of the format that was asked for. One that is neither
// PNG nor JPEG, or not readable, stays what it is; the answer names its format.
func (x *Image) convert(p *picture) {
	if x.format == "" || x.format == p.format {
		return
	}
	raw, err := base64.StdEncoding.AppendDecode(nil, p.data)
	if err != nil {
		return
	}
	read, readConfig := png.Decode, png.DecodeConfig
	switch p.format {
	case "png":
	case "jpeg":
		read, readConfig = jpeg.Decode, jpeg.DecodeConfig
	default:
		return
	}
	size, err := readConfig(bytes.NewReader(raw))
	if err != nil || size.Width <= 0 || size.Height <= 0 || size.Width > maxPixels/size.Height {
		return
	}
	picture, err := read(bytes.NewReader(raw))
	if err != nil {
		return
	}
	var out bytes.Buffer
	if err = encode(&out, picture, x.format); err != nil {
		return
	}
	p.data = base64.StdEncoding.AppendEncode(nil, out.Bytes())
	p.format, p.mime = x.format, "image/"+x.format
}

func encode(to *bytes.Buffer, picture image.Image, format string) error {
	if format == "jpeg" {
		return jpeg.Encode(to, picture, &jpeg.Options{Quality: 92})
	}
	return png.Encode(to, picture)
}
